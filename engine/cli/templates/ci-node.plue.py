# CI of a Node project: packages from the lock file, then lint and tests side by side, then the package.
def workflow():
    return Plan(
        name="@@name@@",
        triggers=[Trigger.on_push(branch="@@branch@@"), Trigger.on_pull_request()],
        max_parallel=3,
        steps=[
            Step.bash("install", "npm ci --no-audit --no-fund", timeout="15m", retry=Retry(max_attempts=2, delay="10s")),
            Step.bash("lint", "npm run lint --if-present", depends_on=["install"]),
            Step.bash("test", "npm test", depends_on=["install"], timeout="20m"),
            Step.bash("pack", "npm pack --silent", depends_on=["lint", "test"], artifacts=["*.tgz"]),
        ],
    )
