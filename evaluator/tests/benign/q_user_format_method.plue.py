# expect: ok
# user format method
class M:
    def format(self, a):
        return 'F' + a
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(M().format('x'))[:500] or "e")])
