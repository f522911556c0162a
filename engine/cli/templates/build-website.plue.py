# Product manager, coder, reviewer. A review that rejects goes back to the coder, three times at most.
SITE = "@@site@@"

VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["accept", "reject"]}, "findings": {"type": "string"}},
    "required": ["verdict", "findings"],
}
# What the step must put out to be a success: a rejection fails it, and so takes the way back.
ACCEPTED = {"type": "object", "properties": {"verdict": {"const": "accept"}}, "required": ["verdict"]}


def workflow():
    specs = Step.llm("create_specs", f"Write the specification of this website: {SITE}", role="product_manager")
    code = Step.llm(
        "implement_code",
        Prompt("task", task="Implement the website; if it was reviewed before, answer the findings", specs=specs.output()),
        role="coder",
        depends_on=[specs],
        retry=Retry(max_attempts=2),
    )
    review = Step.llm(
        "review_code",
        Prompt("task", task="Review the website against its specification", specs=specs.output(), change=code.output()),
        role="reviewer",
        output=VERDICT,
        outputs=ACCEPTED,
        depends_on=[code],
        on_failure=Goto("implement_code", max_visits=3),
    )
    return Plan(
        name="@@name@@",
        description="Product manager, coder and reviewer build a website",
        triggers=[Trigger.on_manual()],
        max_parallel=3,
        steps=[specs, code, review],
    )
