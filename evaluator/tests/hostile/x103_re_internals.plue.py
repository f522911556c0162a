# expect: error
# tries: re's own helper modules
# class: imports
import re
def workflow():
    x = re.enum.sys
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
