# expect: error|needs
# tries: a str subclass that changes between check and use
# class: context
class P(str):
    n = 0
    def __str__(self):
        P.n += 1
        return "/etc/passwd"
def workflow(ctx):
    text = ctx.read(P("README.md"))
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", text)])
