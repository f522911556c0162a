# expect: error
# tries: a text with a method that lies
# class: plan
class S(str):
    def __str__(self):
        return 'ok'
    def __repr__(self):
        return 'ok'
def workflow():
    return Plan("x", steps=[Step.bash(S("a b"), "1")])
