# expect: ok
# re verbose
import re
R = re.compile(r'''
  (?P<a>\w+) # name
  = (?P<b>\d+)
''', re.X)
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str([m.groupdict() for m in R.finditer('x=1 y=2')])[:500] or "e")])
