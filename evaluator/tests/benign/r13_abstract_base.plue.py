# expect: ok
class Check:
    name = "check"

    def script(self):
        raise NotImplementedError

    def step(self, after=()):
        return Step.bash(self.name, self.script(), depends_on=list(after))


class Lint(Check):
    name = "lint"

    def script(self):
        return "ruff check ."


class Types(Check):
    name = "types"
    strict = True

    def script(self):
        return "mypy " + ("--strict " if self.strict else "") + "src"


class Both(Types):
    name = "both"

    def script(self):
        return super().script() + " && " + Lint().script()


def workflow():
    checks = [cls() for cls in (Lint, Types, Both)]
    steps = [checks[0].step()] + [c.step(after=["lint"]) for c in checks[1:]]
    return Plan(name=" ".join(sorted(type(c).__name__ for c in checks)), steps=steps)
