# expect: error
# tries: an unknown argument
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", depend_on=[])])
