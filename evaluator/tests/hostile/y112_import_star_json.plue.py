# expect: error
# tries: import star in a function
# class: imports
def workflow():
    from json import *
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(scanner))])
