# expect: ok
# Counter, OrderedDict, defaultdict, deque, namedtuple, ChainMap and the abstract classes
import collections
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Iterable, Mapping, Sequence

Job = namedtuple("Job", ["name", "run", "needs"], defaults=[()])
Point = namedtuple("Point", "x y")


class Named(Point):
    def total(self):
        return self.x + self.y


class Table(Mapping):
    def __init__(self, rows):
        self._rows = rows

    def __getitem__(self, key):
        return self._rows[key]

    def __iter__(self):
        return iter(self._rows)

    def __len__(self):
        return len(self._rows)


def workflow():
    counts = Counter("abracadabra").most_common(2)
    groups = defaultdict(list)
    for word in ["lint", "test", "link"]:
        groups[word[0]].append(word)
    queue = deque([1, 2, 3], maxlen=2)
    queue.appendleft(0)
    layers = ChainMap({"a": 1}, {"a": 2, "b": 3})
    job = Job("build", "make")
    assert job._replace(run="x").run == "x" and Job._fields == ("name", "run", "needs") and job._asdict()["needs"] == ()
    assert repr(Point(1, 2)) == "Point(x=1, y=2)" and Named(1, 2).total() == 3 and Point._make([1, 2]).y == 2
    assert isinstance([], Sequence) and isinstance({}, Mapping) and isinstance("", Iterable)
    assert dict(Table({"k": 1})) == {"k": 1} and Table({"k": 1}).get("z") is None
    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    name, run, needs = job
    text = f"{counts} {dict(groups)} {list(queue)} {layers['a']}{layers['b']} {list(ordered)}"
    assert collections.Counter(a=1)["a"] == 1
    return Plan(name="Collections", steps=[Step.bash(name, run, depends_on=needs), Step.bash("text", f"echo '{text}'")])
