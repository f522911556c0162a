# expect: ok
# classes with properties, class and static methods, operators, private attributes
class Pipeline:
    count = 0

    def __init__(self, name):
        self.name = name
        self._steps = []
        Pipeline.count += 1

    @property
    def steps(self):
        return list(self._steps)

    @steps.setter
    def steps(self, value):
        self._steps = list(value)

    @classmethod
    def named(cls, name):
        return cls(name)

    @staticmethod
    def quote(text):
        return "'" + text + "'"

    def __rshift__(self, step):
        self._steps.append(step)
        return self

    def __len__(self):
        return len(self._steps)

    def __iter__(self):
        return iter(self._steps)

    def __contains__(self, name):
        return any(s.id == name for s in self._steps)

    def __getitem__(self, index):
        return self._steps[index]

    def __eq__(self, other):
        return isinstance(other, Pipeline) and self._steps == other._steps

    def __repr__(self):
        return f"Pipeline({self.name!r}, {len(self)})"


def workflow():
    p = Pipeline.named("x")
    p >> Step.bash("a", "true") >> Step.bash("b", "true", depends_on=["a"])
    assert len(p) == 2 and "a" in p and p[0].id == "a" and p == p and Pipeline.count == 1
    print(p, type(p).__name__)
    return Plan(name=Pipeline.quote("Classes"), steps=p.steps)
