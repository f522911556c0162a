# expect: error
# tries: await
# class: source
async def f():
    await f()
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
