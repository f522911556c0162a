# CI of a Rust project: formatting and lints first, then tests in both profiles, then the documentation.
def workflow():
    tests = [
        # Each profile builds in a folder of its own, so that neither waits for the other's lock.
        Step.bash("test-dev", "cargo test --locked --target-dir target/test-dev", depends_on=["fmt", "lint"], timeout="30m"),
        Step.bash("test-release", "cargo test --locked --release --target-dir target/test-release", depends_on=["fmt", "lint"], timeout="30m"),
    ]
    return Plan(
        name="@@name@@",
        triggers=[Trigger.on_push(branch="@@branch@@"), Trigger.on_pull_request()],
        env={"CARGO_TERM_COLOR": "never"},
        max_parallel=2,
        steps=[
            Step.bash("fmt", "cargo fmt --check"),
            Step.bash("lint", "cargo clippy --locked --all-targets -- -D warnings"),
            *tests,
            Step.bash("doc", "cargo doc --locked --no-deps", depends_on=tests),
        ],
    )
