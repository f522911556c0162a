# CI of a Rust project: formatting and lints first, then a matrix of profiles and features.
PROFILES = {"dev": "", "release": "--release"}
FEATURES = {"plain": "", "unicode": "--features unicode"}


def workflow():
    tests = [
        Step.bash(
            f"test-{profile}-{feature}",
            # Each combination builds in a folder of its own, so that none waits for another's lock.
            f"cargo test --locked --target-dir target/{profile}-{feature} {profile_flag} {feature_flag}".rstrip(),
            depends_on=["fmt", "lint"],
            timeout="20m",
        )
        for profile, profile_flag in PROFILES.items()
        for feature, feature_flag in FEATURES.items()
    ]
    return Plan(
        name="Rust CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        env={"CARGO_TERM_COLOR": "never", "CARGO_TERM_PROGRESS_WHEN": "never"},
        max_parallel=2,
        steps=[
            Step.bash("fmt", "cargo fmt --check && echo 'formatted'"),
            Step.bash("lint", "cargo clippy --locked --all-targets --all-features -- -D warnings"),
            *tests,
            Step.bash("doc", "cargo doc --locked --no-deps --all-features", depends_on=tests),
        ],
    )
