# expect: error|needs|killed
# tries: a question per round, for ever
# class: resources
def workflow(ctx):
    at = 0
    while True:
        at += ctx.exists("f" + "x" * at + str(at)) + 1
