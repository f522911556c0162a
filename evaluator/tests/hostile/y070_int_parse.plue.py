# expect: error|killed
# tries: int() of a string of five million digits in base 32
# class: resources
def workflow():
    n = int("v" * 5_000_000, 32)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(n % 7 + int("9" * 4000) ** 3000 % 7))])
