# expect: error
# tries: super().__init__ as a value
# class: classes
class A:
    def __init__(self):
        x = super().__init__
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
