# expect: error
# tries: Step under another meaning
# class: plan
from json import dumps as Step
def go():
    import os
    return os.environ
def workflow():
    return Step.python("a", go)
