# expect: error|needs|ok
# tries: ctx.read of a URL
# class: context
def workflow(ctx):
    text = ctx.read("file:///etc/passwd")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
