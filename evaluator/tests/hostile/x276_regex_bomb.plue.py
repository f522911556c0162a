# expect: killed
# tries: catastrophic backtracking
# class: resources
import re
def workflow():
    re.match('(a+)+$', 'a' * 40 + 'b')
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
