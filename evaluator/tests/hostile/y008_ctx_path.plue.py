# expect: error|needs|ok
# tries: ctx.read of a NUL
# class: context
def workflow(ctx):
    text = ctx.read("a\0b")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
