# expect: ok
# chainmap
from collections import ChainMap, OrderedDict
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(dict(ChainMap({'a': 1}, {'b': 2})))[:500] or "e")])
