# expect: ok
# toposort
from collections import defaultdict, deque
E = [('a', 'b'), ('a', 'c'), ('b', 'd')]
def topo():
    out, indeg, q = defaultdict(list), defaultdict(int), deque()
    for a, b in E:
        out[a].append(b)
        indeg[b] += 1
        indeg[a] += 0
    q.extend(sorted(n for n, d in indeg.items() if not d))
    while q:
        n = q.popleft()
        yield n
        for m in sorted(out[n]):
            indeg[m] -= 1
            if not indeg[m]:
                q.append(m)
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(list(topo()))[:500] or "e")])
