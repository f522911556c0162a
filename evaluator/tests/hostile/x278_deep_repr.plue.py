# expect: killed|error
# tries: the text of a deeply nested list
# class: resources
def workflow():
    a = []
    for _ in range(100000):
        a = [a]
    return str(a)
