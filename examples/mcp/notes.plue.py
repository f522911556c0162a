"""A Claude step with a tool of an MCP server that lies in this folder."""


def workflow():
    answer = Step.llm(
        "answer",
        prompt="When are releases cut, and what do they need? Look it up.",
        tools=["mcp__notes__look_up"],
        mcp=[Mcp("notes", command=["python3", "server.py"])],
        max_turns=5,
        budget=Budget(usd=0.10),
    )
    return Plan(name="notes", steps=[answer])
