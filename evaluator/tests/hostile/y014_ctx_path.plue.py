# expect: error|needs|ok
# tries: ctx.read of a path of 100 kB
# class: context
def workflow(ctx):
    text = ctx.read("a" * 100_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
