# expect: error
# tries: a mangled private name
# class: attribute walk
class C:
    def get(self):
        return self.__secret
def workflow():
    x = C().get()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
