# expect: error
# tries: a surrogate written as UTF-8
# class: source
x = 'í €'
def workflow():
    pass
