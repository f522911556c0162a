# expect: error
# tries: operator.methodcaller
# class: attribute walk
import operator
def workflow():
    x = operator.methodcaller("__reduce__")(())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
