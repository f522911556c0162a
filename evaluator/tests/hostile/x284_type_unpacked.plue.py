# expect: error
# tries: unpacking and reversing type
# class: resources
def workflow():
    try:
        first, *rest = type
    except TypeError:
        reversed(type)
    return Plan("x", steps=[Step.bash("a", "true")])
