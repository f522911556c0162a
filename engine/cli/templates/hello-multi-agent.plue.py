# Four agents, one goal: the planner decomposes, the builder executes, the reviewer validates, doc captures.
# The result of each has a name and a type; the others read it with `ref(key)`.
GOAL = "@@goal@@"
TEXTS = {"type": "array", "items": {"type": "string"}}


def record(**fields):
    return {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}


def workflow():
    plan = Key("plan", record(tasks=TEXTS))
    outputs = Key("outputs", {"type": "string"})
    review = Key("review", record(accepted={"type": "boolean"}, findings=TEXTS))
    docs = Key("docs", {"type": "string"})
    return Plan(
        name="@@name@@",
        description="Planner, builder, reviewer and doc work on one goal",
        goal=GOAL,
        triggers=[Trigger.on_manual()],
        max_parallel=3,
        context=[plan, outputs, review, docs],
        steps=[
            Step.llm("plan", f"Break this goal into tasks: {GOAL}", role="planner", writes=plan),
            Step.llm(
                "build",
                Prompt("task", task="Carry out the plan", plan=ref(plan)),
                role="builder",
                writes=outputs,
                depends_on=["plan"],
            ),
            Step.llm(
                "review",
                Prompt("task", task="Validate what was built against the plan", plan=ref(plan), built=ref(outputs)),
                role="reviewer",
                writes=review,
                depends_on=["build"],
            ),
            Step.llm(
                "doc",
                Prompt("task", task="Write down what was done", plan=ref(plan), built=ref(outputs), review=ref(review)),
                role="doc",
                writes=docs,
                depends_on=["review"],
            ),
        ],
        outputs={"plan": ref(plan), "built": ref(outputs), "review": ref(review), "doc": ref(docs)},
    )
