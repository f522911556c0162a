def workflow():
    return Plan(
        name="sample",
        description="Steps that wait for each other, run side by side and hand values on",
        steps=[
            Step.bash("hello", 'echo "hello from run $PLUE_RUN_ID"'),
            Step.bash("count", 'echo "files=$(ls | wc -l)" >> "$PLUE_OUTPUT"', depends_on=["hello"]),
            Step.bash("date", "date", depends_on=["hello"]),
            Step.bash("report", 'echo "$FILES files lie here"', env={"FILES": ref("count", "files")},
                      depends_on=["count", "date"]),
        ],
    )
