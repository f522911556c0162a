# expect: ok
# operator
import operator as op
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((op.mul(2, 3), sorted([(1, 'b'), (0, 'a')], key=op.itemgetter(1)), op.contains([1], 1)))[:500] or "e")])
