# expect: error|ok
# tries: LINE SEPARATOR in a string
# class: source
def workflow():
    x = "a b"
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
