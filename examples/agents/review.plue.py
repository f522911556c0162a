"""Reviews the app. The agent may only read; what it finds is checked and told by a step that it cannot change."""

FINDINGS = {
    "type": "object",
    "required": ["summary", "findings"],
    "additionalProperties": False,
    "properties": {
        "summary": {"type": "string"},
        "findings": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["file", "line", "severity", "title"],
                "additionalProperties": False,
                "properties": {
                    "file": {"type": "string"},
                    "line": {"type": "integer", "minimum": 1},
                    "severity": {"enum": ["note", "warning", "error"]},
                    "title": {"type": "string", "maxLength": 120},
                },
            },
        },
    },
}


def tell(findings):
    from pathlib import Path

    errors = 0
    for finding in findings:
        # The place comes from a model: only files that are there are told.
        if not Path("app", Path(finding["file"]).name).is_file():
            continue
        errors += finding["severity"] == "error"
        print(f"{finding['severity']}: {finding['file']}:{finding['line']}: {finding['title']}")
    return {"errors": errors}


def workflow():
    review = Step.llm(
        "review",
        "Review the Python files in app/: wrong results first, then what tests leave out. Name file and line of each finding.",
        tools=["read", "glob", "grep"],
        output=FINDINGS,
        max_turns=10,
        budget=Budget(usd=0.50),
    )
    told = Step.python("tell", tell, args=[ref("review", "findings")], depends_on=[review])
    return Plan(
        name="review",
        triggers=[Trigger.on_pull_request()],
        steps=[review, told],
        outputs={"summary": ref("review", "summary"), "errors": ref("tell", "errors")},
    )
