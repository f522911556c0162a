# expect: error
# tries: a function that reads a name of the file
# class: plan
LIMIT = 3
def go():
    print(LIMIT)
def workflow():
    return Plan("x", steps=[Step.python("a", go)])
