# The goal is not in these texts: `--goal` gives it to every agent of the run.
def workflow():
    plan = Step.llm("plan", "Break the goal into tasks that can be done and checked.", role="planner")
    build = Step.llm(
        "build",
        Prompt("task", task="Carry out the plan.", plan=plan.output()),
        role="builder",
        depends_on=[plan],
    )
    review = Step.llm(
        "review",
        Prompt("task", task="Validate the work against the plan.", plan=plan.output(), built=build.output()),
        role="reviewer",
        depends_on=[build],
    )
    doc = Step.llm(
        "doc",
        Prompt("task", task="Document the work.", plan=plan.output(), built=build.output(), review=review.output()),
        role="doc",
        depends_on=[review],
    )
    return Plan(
        name="hello_multi_agent",
        description="Planner, builder, reviewer and doc work on one goal",
        steps=[plan, build, review, doc],
        outputs={"plan": plan.output(), "built": build.output(), "review": review.output(), "doc": doc.output()},
    )
