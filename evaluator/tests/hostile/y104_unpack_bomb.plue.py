# expect: killed|error
# tries: star unpacking that doubles
# class: resources
def workflow():
    l = [0]
    while True:
        l = [*l, *l]
