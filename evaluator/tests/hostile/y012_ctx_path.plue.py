# expect: error|needs|ok
# tries: ctx.read of a path of Windows
# class: context
def workflow(ctx):
    text = ctx.read("C:\\Windows\\win.ini")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "echo " + text)])
