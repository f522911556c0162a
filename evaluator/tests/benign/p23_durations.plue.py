# expect: ok
# durations as text and as numbers, and None as not given
def workflow():
    return Plan(
        name="Durations", timeout=7200, description=None,
        steps=[
            Step.bash("a", "true", timeout=90, image=None, env=None, depends_on=None),
            Step.bash("b", "true", timeout="1h30m", retry=Retry(max_attempts=5, delay=10)),
            Step.wait("c", 30), Step.wait("d", "500ms"),
        ],
    )
