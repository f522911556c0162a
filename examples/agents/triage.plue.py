"""Sorts a new issue. The agent proposes labels; a step without a model lets only known ones through."""

KNOWN = ["bug", "docs", "question", "feature"]

PROPOSAL = {
    "type": "object",
    "required": ["labels", "priority", "reply"],
    "additionalProperties": False,
    "properties": {
        "labels": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "priority": {"enum": ["low", "normal", "high"]},
        "reply": {"type": "string", "maxLength": 1000},
    },
}


def apply(proposal, known):
    labels = [label for label in proposal["labels"] if label in known]
    dropped = [label for label in proposal["labels"] if label not in known]
    print(f"labels: {', '.join(labels) or 'none'}; priority: {proposal['priority']}")
    if dropped:
        print(f"not known: {', '.join(dropped)}")
    return {"labels": labels}


def workflow(ctx):
    issue = ctx.event and ctx.event.issue
    title = issue.title if issue else ctx.inputs.get("title", "Addresses have capitals")
    body = ctx.inputs.get("body", "slug('Two Words') gives Two-Words.")
    triage = Step.llm(
        "triage",
        Prompt("triage", title=title, body=body),
        tools=["grep", "read"],
        output=PROPOSAL,
        max_turns=5,
        budget=Budget(usd=0.20),
    )
    applied = Step.python("apply", apply, args=[ref("triage"), KNOWN], depends_on=[triage])
    return Plan(
        name="triage",
        triggers=[Trigger.on_issue(types=["opened"]), Trigger.on_manual()],
        inputs={
            "title": Input(default="Addresses have capitals"),
            "body": Input(default="slug('Two Words') gives Two-Words."),
        },
        steps=[triage, applied],
        outputs={"labels": ref("apply", "labels"), "reply": ref("triage", "reply")},
    )
