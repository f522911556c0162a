# expect: killed|error
# tries: an endless dictionary
# class: resources
def workflow():
    d = {}
    i = 0
    while True:
        d[i] = 'x' * 1000 + str(i)
        i += 1
