# expect: ok
# tuples where lists are expected, steps as dependencies, sorted sets
def workflow():
    a = Step.bash("a", "true")
    b = Step.bash("b", "true", depends_on=(a,))
    c = Step.bash("c", "true", depends_on=sorted({s.id for s in (a, b)}))
    assert c.depends_on == ["a", "b"] and a.name is None and a.kind == "bash"
    assert {a: 1}[a] == 1 and a != b
    return Plan("Tuples", (Trigger.on_pull_request(),), (a, b, c))
