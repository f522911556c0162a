# expect: error
# tries: an order by hash of classes
# class: determinism
class A: pass
class B: pass
class C: pass
def workflow():
    names = {A: "a", B: "b", C: "c"}
    order = [names[t] for t in {A, B, C, int, str, type(workflow), type(None)} if t in names]
    return Plan(name="x", steps=[Step.bash("a", " ".join(order * 1)), Step.bash("b", str(hash("a") % 97))])
