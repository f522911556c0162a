# expect: error
# tries: a generator as steps
# class: plan
def workflow():
    return Plan("x", steps=(Step.bash(str(i), "1") for i in range(2)))
