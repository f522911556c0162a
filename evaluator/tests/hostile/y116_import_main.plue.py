# expect: error
# tries: import __main__
# class: imports
import __main__
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(__main__.__builtins__))])
