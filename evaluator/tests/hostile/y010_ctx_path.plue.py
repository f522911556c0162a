# expect: error|needs|ok
# tries: ctx.read of the home folder
# class: context
def workflow(ctx):
    text = ctx.read("~/.ssh/id_rsa")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
