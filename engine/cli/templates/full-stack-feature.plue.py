# A feature from design to test: interface and pages are built at the same time, then put together.
FEATURE_NAME = "@@feature_name@@"


def workflow():
    design = Step.llm("design", f"Design {FEATURE_NAME} feature", role="planner")
    api = Step.llm(
        "api",
        Prompt("task", task=f"Implement API for {FEATURE_NAME}", design=design.output()),
        role="backend",
        depends_on=[design],
    )
    ui = Step.llm(
        "ui",
        Prompt("task", task=f"Build UI for {FEATURE_NAME}", design=design.output()),
        role="frontend",
        depends_on=[design],
    )
    integrate = Step.llm(
        "integrate",
        Prompt("task", task="Integrate frontend and backend", api=api.output(), ui=ui.output()),
        role="coder",
        depends_on=[api, ui],
    )
    test = Step.llm(
        "test",
        Prompt("task", task=f"Test {FEATURE_NAME} feature", change=integrate.output()),
        role="checker",
        depends_on=[integrate],
    )
    return Plan(
        name="@@name@@",
        description="Design, API and UI side by side, integration, test",
        triggers=[Trigger.on_manual()],
        max_parallel=3,
        steps=[design, api, ui, integrate, test],
    )
