# expect: killed|error|needs
# tries: a little under a CPU second before each of many questions to ctx
# class: resources
def workflow(ctx):
    n = 0
    for at in range(60):
        for _ in range(9_000_000):
            n += 1
        ctx.exists(f"file{at}")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(n))])
