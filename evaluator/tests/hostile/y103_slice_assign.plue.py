# expect: killed|error
# tries: slice assignment that grows
# class: resources
def workflow():
    l = [0]
    while True:
        l[0:0] = l
