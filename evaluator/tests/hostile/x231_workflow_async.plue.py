# expect: error
# tries: an asynchronous workflow
# class: plan
async def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
