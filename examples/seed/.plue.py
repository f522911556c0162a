def workflow():
    return Plan(
        name="CI Pipeline",
        triggers=[
            Trigger.on_push(branch="main"),
            Trigger.on_pull_request(),
        ],
        steps=[
            Step.bash("test", "npm test"),
            Step.bash("build", "npm run build", depends_on=["test"]),
            Step.llm(
                "review",
                prompt="Review the code changes",
                depends_on=["test"],
            ),
        ],
    )
