# A bug from report to proof: found, understood, fixed, checked.
BUG_DESCRIPTION = "@@bug_description@@"


def workflow():
    investigate = Step.llm("investigate", f"Investigate {BUG_DESCRIPTION}", role="researcher")
    analyze = Step.llm(
        "analyze",
        Prompt("task", task="Analyze root cause and plan fix", findings=investigate.output()),
        role="planner",
        depends_on=[investigate],
    )
    fix = Step.llm(
        "fix",
        Prompt("task", task="Implement bug fix", plan=analyze.output()),
        role="coder",
        depends_on=[analyze],
        retry=Retry(max_attempts=2, delay="30s", on=["infra"]),
    )
    verify = Step.llm(
        "verify",
        Prompt("task", task="Verify bug is fixed", change=fix.output(), bug=BUG_DESCRIPTION),
        role="checker",
        depends_on=[fix],
    )
    return Plan(
        name="@@name@@",
        description="Investigate, analyze, fix, verify",
        triggers=[Trigger.on_manual(), Trigger.on_issue(types=["labeled"], labels=["bug"])],
        max_parallel=3,
        steps=[investigate, analyze, fix, verify],
    )
