# expect: ok
# multiple inheritance, abstract bases by hand, class attributes, super chains
class Base:
    image = "debian:12"

    def command(self):
        raise NotImplementedError

    def step(self):
        return Step.bash(type(self).__name__.lower(), self.command(), image=self.image)


class Verbose:
    def command(self):
        return super().command() + " -v"


class Make(Base):
    def command(self):
        return "make"


class LoudMake(Verbose, Make):
    image = "gcc:14"


class Error(Verbose, ValueError):
    pass


def workflow():
    try:
        raise Error("x")
    except ValueError as e:
        print(e)
    print(Make(), [LoudMake()])
    return Plan(name="Mixins", steps=[cls().step() for cls in (Make, LoudMake)])
