# expect: ok
# multiple inheritance, abstract bases by hand, class attributes, super chains
class Base:
    folder = "old"

    def command(self):
        raise NotImplementedError

    def step(self):
        return Step.bash(type(self).__name__.lower(), self.command(), cwd=self.folder)


class Verbose:
    def command(self):
        return super().command() + " -v"


class Make(Base):
    def command(self):
        return "make"


class LoudMake(Verbose, Make):
    folder = "new"


class Error(Verbose, ValueError):
    pass


def workflow():
    try:
        raise Error("x")
    except ValueError as e:
        print(e)
    print(Make(), [LoudMake()])
    return Plan(name="Mixins", steps=[cls().step() for cls in (Make, LoudMake)])
