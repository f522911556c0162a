# Four agents, one goal: the planner decomposes, the builder executes, the reviewer validates, doc captures.
GOAL = "@@goal@@"


def workflow():
    plan = Step.llm("plan", f"Break this goal into tasks: {GOAL}", role="planner")
    build = Step.llm(
        "build",
        Prompt("task", task="Carry out the plan", plan=plan.output()),
        role="builder",
        depends_on=[plan],
    )
    review = Step.llm(
        "review",
        Prompt("task", task="Validate what was built against the plan", plan=plan.output(), built=build.output()),
        role="reviewer",
        depends_on=[build],
    )
    doc = Step.llm(
        "doc",
        Prompt("task", task="Write down what was done", plan=plan.output(), built=build.output(), review=review.output()),
        role="doc",
        depends_on=[review],
    )
    return Plan(
        name="@@name@@",
        description="Planner, builder, reviewer and doc work on one goal",
        goal=GOAL,
        triggers=[Trigger.on_manual()],
        max_parallel=3,
        steps=[plan, build, review, doc],
        outputs={"plan": plan.output(), "built": build.output(), "review": review.output(), "doc": doc.output()},
    )
