# expect: killed|error
# tries: a pattern that is expensive to compile
# class: resources
import re
def workflow():
    re.compile("(?:" * 5000 + "a" + ")" * 5000)
    re.compile("(?:a{1,1000}){1,1000}" * 200)
    re.compile("|".join(chr(n) for n in range(1, 0x10ff00)))
