# expect: ok
# while else
def workflow():
    n = 0
    while n < 3:
        n += 1
    else:
        n = 9
    for _ in []:
        pass
    else:
        n += 1
    return Plan(f"x{n}", steps=[Step.bash("a", "b")])
