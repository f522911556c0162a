"""Every push is tested; main goes to production, other branches to a preview.

plue run deploy-by-branch --event events/push-main.json
"""


def workflow():
    test = Step.bash("test", "python3 -m unittest -q 2>&1")
    return Plan(
        name="deploy-by-branch",
        triggers=[Trigger.on_push(branches=["main", "feature/**"])],
        steps=[
            test,
            Step.bash("production", "echo 'live'", when="event.branch == 'main'", depends_on=[test]),
            Step.bash(
                "preview",
                'echo "preview of $BRANCH"',
                # A branch may be called `$(rm -rf ~)`: as a variable that is only a name.
                env={"BRANCH": template("${event.branch}")},
                when="event.branch != 'main'",
                depends_on=[test],
            ),
        ],
    )
