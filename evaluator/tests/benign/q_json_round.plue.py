# expect: ok
# json round
import json
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(json.dumps(json.loads('[1, 2.5, "\\u00e9", null, {"a": true}]'), ensure_ascii=False))[:500] or "e")])
