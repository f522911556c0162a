# expect: ok
import itertools
from collections import OrderedDict, defaultdict, deque
from functools import lru_cache, partial, reduce

PACKAGES = {"core": [], "db": ["core"], "api": ["core", "db"], "web": ["api"]}


@lru_cache(maxsize=None)
def depth(name):
    return 1 + max((depth(d) for d in PACKAGES[name]), default=0)


def workflow():
    by_depth = defaultdict(list)
    for name in sorted(PACKAGES):
        by_depth[depth(name)].append(name)
    queue = deque(sorted(by_depth))
    build = partial(Step.bash, timeout="5m")
    steps = []
    while queue:
        for name in by_depth[queue.popleft()]:
            steps.append(build(f"build-{name}", f"make -C {name}", depends_on=[f"build-{d}" for d in PACKAGES[name]]))
    pairs = list(itertools.combinations(sorted(PACKAGES), 2))
    total = reduce(lambda a, b: a + b, (depth(p) for p in PACKAGES))
    names = OrderedDict((p, i) for i, p in enumerate(PACKAGES))
    return Plan(name=f"graph {len(pairs)} {total} {next(iter(names))}", steps=steps)
