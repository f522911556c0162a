# expect: error
# tries: __reduce__ and copy
# class: classes
import copy
class A:
    def __reduce__(self):
        return (print, ('x',))
def workflow():
    x = copy.copy(A())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
