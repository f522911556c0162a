"""Writes a page about the app, and runs its examples: documentation that does not work is not kept."""


def workflow():
    prepare = Step.bash("prepare", "rm -rf work && cp -r app work")
    write = Step.llm(
        "write",
        "Read work/slug.py and write work/slug.md: what it does, and examples as Python sessions (`>>> from slug import slug`) that are true.",
        tools=["read", "write"],
        depends_on=[prepare],
        max_turns=10,
        budget=Budget(usd=0.50),
    )
    check = Step.bash(
        "check",
        "cd work && python3 -m doctest slug.md && echo 'the examples are true'",
        depends_on=[write],
        on_failure=Goto(write, max_visits=2),
        artifacts=["work/slug.md"],
    )
    return Plan(name="document", steps=[prepare, write, check])
