# expect: error|killed
# tries: steps given as a list that its own items extend
# class: plan
L = []
class A:
    def __iter__(self):
        L.append(Step.bash("s" + str(len(L)), "x"))
        return iter(L)
def workflow():
    return Plan(name="x", steps=L, triggers=A())
