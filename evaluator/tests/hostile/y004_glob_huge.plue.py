# expect: error|killed
# tries: a glob pattern of a megabyte
# class: context
def workflow(ctx):
    return Plan(name="x", steps=[Step.bash("a", str(ctx.glob("*" * 1_000_000)))])
