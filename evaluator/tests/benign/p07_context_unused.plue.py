# expect: ok
# workflow takes the context but the workflow is only listed
def workflow(ctx):
    steps = [Step.bash("test", "make test")]
    if ctx.event is not None and ctx.event.type == "pull_request":
        steps.append(Step.llm("review", "Review", depends_on=["test"]))
    env = ctx.inputs.get("env", "dev")
    return Plan(name="Context", steps=steps, env={"ENV": env})
