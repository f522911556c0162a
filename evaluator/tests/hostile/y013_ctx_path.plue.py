# expect: error|needs|ok
# tries: ctx.read of a lone surrogate
# class: context
def workflow(ctx):
    text = ctx.read("\ud800")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
