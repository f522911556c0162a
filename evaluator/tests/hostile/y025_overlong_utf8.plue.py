# expect: error
# tries: an overlong UTF-8 slash
# class: source
x = 'À¯'
def workflow():
    pass
