# expect: error|needs|ok
# tries: ctx.read of git's own files
# class: context
def workflow(ctx):
    text = ctx.read(".git/config")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
