# expect: ok
# partial kw
from functools import partial
B = partial(Step.bash, timeout='5m', env={'A': 'b'})
def workflow():
    return Plan('x', steps=[B('a', 'b'), B('c', 'd', depends_on=['a'])])
