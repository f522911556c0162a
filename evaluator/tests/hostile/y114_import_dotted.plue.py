# expect: error
# tries: a submodule of an allowed module
# class: imports
import collections.abc as abc
import re._compiler as c
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(c.sys))])
