# expect: error
# tries: uuid
# class: determinism
import uuid
def workflow():
    x = uuid.uuid4()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
