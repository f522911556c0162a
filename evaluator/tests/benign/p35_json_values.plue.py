# expect: ok
# nested values for prompts, plugins and schemas
SCHEMA = {"type": "object", "required": ["risk"], "properties": {"risk": {"type": "integer", "minimum": 0}, "files": {"type": "array", "items": {"type": "string"}}}}


def workflow():
    return Plan(
        name="Values",
        steps=[
            Step.llm("risk", "Assess", output=SCHEMA),
            Step.plugin("x", "acme", depends_on=["risk"], deep={"a": [{"b": (1, 2.5, None, True, "t")}], "r": ref("risk", "files.0")}, flag=False),
        ],
    )
