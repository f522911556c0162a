# expect: error
# tries: a function that reads a module of the file
# class: plan
import json
def go():
    print(json.dumps(1))
def workflow():
    return Plan("x", steps=[Step.python("a", go)])
