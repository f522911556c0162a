# expect: error
# tries: addresses in the text of generators and iterators
# class: determinism
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", repr(x for x in []) + repr(iter([])))])
