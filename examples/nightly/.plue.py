# A nightly schedule in a real time zone, with hooks around it.
def workflow():
    return Plan(
        name="Nightly",
        description="Every night at 02:30 in Berlin; a missed night is made up for once.",
        triggers=[
            Trigger.on_schedule("30 2 * * *", tz="Europe/Berlin", misfire="run_once"),
            Trigger.on_manual(),
        ],
        concurrency=Concurrency("nightly"),
        steps=[
            Step.bash("collect", "ls *.txt | tee inventory.log"),
            Step.python("count", "print(sum(1 for _ in open('inventory.log')), 'files')", depends_on=["collect"]),
            Step.bash("clean", "rm -f inventory.log", depends_on=["count"]),
        ],
        hooks=Hooks(on_complete=[Step.bash("goodnight", "echo 'good night'")]),
    )
