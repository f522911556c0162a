# expect: error
# tries: a name that is bound only later
# class: exceptions
def workflow():
    x = later
    later = 1
