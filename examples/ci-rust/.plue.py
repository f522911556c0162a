# CI of a Rust project: formatting and lints first, then tests in every profile.
PROFILES = {"dev": "", "release": "--release"}


def workflow():
    tests = [
        Step.bash(
            f"test-{profile}",
            f"cargo test --offline {flags}".strip(),
            depends_on=["fmt"],
            timeout="20m",
        )
        for profile, flags in PROFILES.items()
    ]
    return Plan(
        name="Rust CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        env={"CARGO_TERM_COLOR": "always"},
        steps=[
            Step.bash("fmt", "cargo fmt --check"),
            *tests,
            Step.bash("doc", "cargo doc --offline --no-deps", depends_on=tests),
        ],
    )
