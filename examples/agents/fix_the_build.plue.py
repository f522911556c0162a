"""Test, fix, test again, at most three times. The agent works on a copy; the test that decides is not its own."""


def workflow():
    prepare = Step.bash("prepare", "rm -rf work && cp -r app work")
    fix = Step.llm(
        "fix",
        "The tests of work/ fail. Run them with `cd work && python3 -m unittest`, find the cause in work/slug.py and mend it. "
        "Leave the tests as they are.",
        tools=["bash", "read", "edit"],
        depends_on=[prepare],
        max_turns=10,
        budget=Budget(usd=1),
    )
    # The tests come from the commit again, whatever the agent did to its copy of them.
    test = Step.bash(
        "test",
        "cp app/test_slug.py work/ && cd work && python3 -m unittest",
        depends_on=[fix],
        on_failure=Goto(fix, max_visits=3),
    )
    show = Step.bash("show", "diff -u app/slug.py work/slug.py || true", depends_on=[test])
    return Plan(name="fix-the-build", steps=[prepare, fix, test, show])
