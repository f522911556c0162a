# expect: error
# tries: the name of a guard
# class: builtins
def workflow():
    return __plue_elsewhere__()
