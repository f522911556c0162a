# expect: killed|error
# tries: a list of a billion
# class: resources
def workflow():
    return [0] * 10 ** 9
