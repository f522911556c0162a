"""Formats until the check is content, at most five times: a bounded way back, not a loop without an end."""


def workflow():
    fix = Step.bash("fix", 'echo x >> out.log; echo "pass $PLUE_VISIT"')
    check = Step.bash(
        "check",
        'test "$(wc -l < out.log)" -ge 3 && echo "content after $PLUE_VISIT passes"',
        depends_on=[fix],
        on_failure=Goto(fix, max_visits=5),
    )
    done = Step.bash("done", "rm out.log", depends_on=[check])
    return Plan(name="fix-until-green", steps=[fix, check, done])
