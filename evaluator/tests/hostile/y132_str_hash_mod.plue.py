# expect: error
# tries: a choice by the hash of a text
# class: determinism
def workflow():
    table = [None] * 997
    for w in ("a", "b", "c", "d", "e", "f", "g"):
        table[hash(w) % 997] = w
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", " ".join(w for w in table if w))])
