# expect: error
# tries: an asynchronous comprehension
# class: source
async def f():
    return [x async for x in f()]
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
