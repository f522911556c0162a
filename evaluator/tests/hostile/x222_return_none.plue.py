# expect: error
# tries: no return
# class: plan
def workflow():
    return None
