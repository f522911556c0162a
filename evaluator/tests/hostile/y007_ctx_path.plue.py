# expect: error|needs|ok
# tries: ctx.read of a parent in the middle
# class: context
def workflow(ctx):
    text = ctx.read("a/../../b")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
