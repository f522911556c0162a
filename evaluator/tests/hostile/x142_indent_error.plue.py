# expect: error
# tries: an indentation error
# class: source
def workflow():
return 1
