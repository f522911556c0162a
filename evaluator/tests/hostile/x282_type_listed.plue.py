# expect: error
# tries: type[...] makes an annotation for any item, so iterating it item by item never ended
# class: resources
def workflow():
    return list(type)
