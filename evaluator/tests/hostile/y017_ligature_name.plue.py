# expect: error
# tries: an identifier with a ligature that NFKC takes apart
# class: source
def workflow():
    ﬁle = 1
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(file))])
