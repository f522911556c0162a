# expect: ok
# abstract
class Base:
    def run(self):
        raise NotImplementedError('x')
class A(Base):
    def run(self):
        return 'x'
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(A().run())[:500] or "e")])
