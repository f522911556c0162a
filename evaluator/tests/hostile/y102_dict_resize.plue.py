# expect: killed|error
# tries: keys that all have one hash
# class: resources
class K:
    def __init__(self, n):
        self.n = n
    def __hash__(self):
        return 1
    def __eq__(self, other):
        return self.n == other.n
def workflow():
    d = {K(n): n for n in range(100_000)}
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(d)))])
