# The question of `plue plan --goal`. Its answer is the text of a workflow, which plue checks and shows.
def workflow(ctx):
    plan = Step.llm(
        "plan",
        Prompt(
            "workflow-from-goal",
            roles=ctx.inputs.get("roles", []),
            answer=ctx.inputs.get("answer", ""),
            problems=ctx.inputs.get("problems", ""),
        ),
        role="planner",
        max_turns=30,
        budget=Budget(usd=ctx.inputs.get("budget", 1)),
    )
    return Plan(
        name="plan_from_goal",
        description="A planner writes a workflow for the goal of the run",
        inputs={
            "roles": Input("list", default=[], description="Roles that tasks may name"),
            "answer": Input("string", default="", description="An answer that was not valid"),
            "problems": Input("string", default="", description="What was wrong with it"),
            "budget": Input("number", default=1, description="Dollars at most"),
        },
        steps=[plan],
        outputs={"workflow": plan.output()},
    )
