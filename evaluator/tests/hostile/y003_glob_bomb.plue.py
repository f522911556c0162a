# expect: error
# tries: a glob pattern with nested alternatives and many stars
# class: context
def workflow(ctx):
    return Plan(name="x", steps=[Step.bash("a", str(ctx.glob("{a,b}" * 40 + "**/" * 60 + "*" * 200)))])
