# expect: ok
# copy
import copy
D = {'a': [1]}
E2 = copy.copy(D)
F = copy.deepcopy(D)
F['a'].append(2)
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((D, E2, F))[:500] or "e")])
