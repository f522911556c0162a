# expect: error
# tries: a list that lies about its items
# class: plan
class L(list):
    def __iter__(self):
        return iter([Step.bash('a', '1')])
def workflow():
    return Plan("x", steps=L([1]))
