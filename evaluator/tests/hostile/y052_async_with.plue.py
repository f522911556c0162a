# expect: error
# tries: async with in a plan
# class: frames
async def f():
    async with x:
        pass
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(f().cr_frame))])
