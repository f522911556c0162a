"""Reviews the app. The agent may only read; what it finds is checked by a step that it cannot change, and posted by the engine."""

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
                "required": ["id", "path", "line", "severity", "title", "body"],
                "additionalProperties": False,
                "properties": {
                    "id": {"type": "string"},
                    "path": {"type": "string"},
                    "line": {"type": "integer", "minimum": 1},
                    "severity": {"enum": ["note", "warning", "error"]},
                    "title": {"type": "string", "maxLength": 120},
                    "body": {"type": "string", "maxLength": 2000},
                },
            },
        },
    },
}


def tell(review):
    from pathlib import Path

    # The place comes from a model: only files that are there are told.
    kept = [finding for finding in review["findings"] if Path("app", Path(finding["path"]).name).is_file()]
    for finding in kept:
        print(f"{finding['severity']}: {finding['path']}:{finding['line']}: {finding['title']}")
    errors = sum(finding["severity"] == "error" for finding in kept)
    return {"errors": errors, "comment": {"summary": review["summary"], "findings": kept}}


def workflow():
    review = Step.llm(
        "review",
        "Review the Python files in app/: wrong results first, then what tests leave out. Name file and line of each finding, "
        "with an id of the file and the defect that stays the same from one review to the next.",
        tools=["read", "glob", "grep"],
        output=FINDINGS,
        max_turns=10,
        budget=Budget(usd=0.50),
    )
    told = Step.python("tell", tell, args=[review.output()], depends_on=[review])
    post = Step.plugin("post", "forge", title="Review", comment=told.output("comment"), depends_on=[told])
    return Plan(
        name="review",
        triggers=[Trigger.on_pull_request()],
        steps=[review, told, post],
        outputs={"summary": ref("review", "summary"), "errors": ref("tell", "errors")},
    )
