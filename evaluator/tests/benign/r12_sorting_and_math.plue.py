# expect: ok
import math
from collections import Counter
from operator import itemgetter

TIMES = [("a", 12.5), ("b", 3.25), ("c", 40.0), ("d", 9.75), ("e", 1.0)]


def shards(times, count):
    buckets = [[] for _ in range(count)]
    loads = [0.0] * count
    for name, seconds in sorted(times, key=itemgetter(1), reverse=True):
        at = loads.index(min(loads))
        buckets[at].append(name)
        loads[at] += seconds
    return buckets, loads


def workflow():
    buckets, loads = shards(TIMES, 2)
    letters = Counter("".join(n for n, _ in TIMES))
    minutes = math.ceil(max(loads) / 60)
    return Plan(name=f"shards {letters.most_common(1)[0][1]} {round(sum(loads), 1)}",
                steps=[Step.bash(f"shard-{i}", " ".join(b), timeout=f"{minutes}m") for i, b in enumerate(buckets)])
