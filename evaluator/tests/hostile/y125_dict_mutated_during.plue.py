# expect: error|ok
# tries: env as a dict subclass that changes while it is read
# class: plan
class D(dict):
    def items(self):
        while True:
            yield ("a", "b")
def workflow():
    return Plan(name="x", steps=[Step.bash("a", "x", env=D(a="b"))])
