# expect: error|killed
# tries: center, ljust, zfill
# class: resources
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "a".center(10**10).zfill(10**11))])
