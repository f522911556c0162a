# expect: error|ok
# tries: a str subclass whose text differs each time
# class: plan
class S(str):
    n = 0
    def __str__(self):
        S.n += 1
        return "evil" * S.n
def workflow():
    return Plan(name=S("x"), steps=[Step.bash(S("a"), S("x"))])
