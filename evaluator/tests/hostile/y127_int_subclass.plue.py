# expect: error|ok
# tries: an int subclass as a number of retries
# class: plan
class N(int):
    def __index__(self):
        return 10**30
def workflow():
    return Plan(name="x", steps=[Step.bash("a", "x", retry=N(3))])
