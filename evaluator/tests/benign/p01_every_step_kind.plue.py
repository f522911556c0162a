# expect: ok
# every kind of step with its own arguments
def workflow():
    plan = Step.llm("plan", "Write a plan", model="claude-opus", system="Be short", tools=["read", "grep"],
                    max_turns=8, max_tokens=4000, budget=Budget(usd=1.5), output={"type": "object"}, effort="high")
    return Plan(
        "Kinds",
        steps=[
            Step.bash("build", "make", shell="sh"),
            Step.python("inline", "print('hello')"),
            Step.python("script", script="tools/run.py", args=["--fast"]),
            plan,
            Step.llm("file", prompt=Prompt("code-review", files=["a", "b"], risk=plan.output("risk")), depends_on=[plan]),
            Step.approval("ok", message="Deploy?", approvers=["ops"], quorum=1, timeout="2h", on_timeout="reject",
                          fields={"type": "object", "properties": {"reason": {"type": "string"}}}),
            Step.negotiate("terms", ["buyer", "seller"], {"type": "object"}, rounds=4, accept="quorum:2", timeout="1h"),
            Step.workflow("child", "Deploy", inputs={"env": "prod", "risk": plan.output("risk")}, depends_on=["plan"]),
            Step.workflow("emitted", plan=plan.output("plan"), depends_on=["plan"]),
            Step.call("hook", "https://example.com/x", method="POST", headers={"X-Key": secret("HOOK_KEY")},
                      body={"text": "hi", "n": [1, 2.5, True, None]}, callback=False),
            Step.wait("pause", "10m"),
            Step.wait("merged", Trigger.on_push(branch="main")),
            Step.wait("seconds", duration=30),
            Step.plugin("scan", "sonar", project="x", gates={"coverage": 80}),
        ],
    )
