# expect: error|needs|ok
# tries: ctx.read of parent folders
# class: context
def workflow(ctx):
    text = ctx.read("../../../../etc/passwd")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
