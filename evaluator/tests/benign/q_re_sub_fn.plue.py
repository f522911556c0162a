# expect: ok
# re sub fn
import re
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(re.sub(r'\d+', lambda m: str(int(m.group()) + 1), 'a1b22'))[:500] or "e")])
