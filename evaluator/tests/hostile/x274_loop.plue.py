# expect: killed
# tries: an endless loop
# class: resources
def workflow():
    while True:
        pass
