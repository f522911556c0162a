# expect: error
# tries: an empty list of plans
# class: plan
def workflow():
    return []
