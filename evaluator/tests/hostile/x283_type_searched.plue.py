# expect: error
# tries: a search in type, item by item
# class: resources
def workflow():
    return Plan("x", steps=[Step.bash("a", "true")]) if 1 in type else None
