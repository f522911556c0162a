# expect: ok
# union isinstance
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((isinstance(1, int | str), isinstance('a', (list, str)), type(1) == int, type('a') is str, type([]).__name__))[:500] or "e")])
