//! Secrets are nowhere kept, so that a run that is taken up has none.

use plue_flow::RunStatus;

use crate::bench::{Bench, kill};

const SOURCE: &str = r#"
def workflow():
    gate = "echo x >> ran; touch up; until test -e go; do sleep 0.01; done; test -n \"$TOKEN\""
    return Plan(name="Secret", on_failure="continue", steps=[
        Step.bash("has", gate, secrets=["TOKEN"]),
        Step.bash("wants", "echo x >> ran.wants", secrets=["TOKEN"], depends_on=["has"]),
    ])
"#;

#[tokio::test]
async fn a_step_that_has_its_secret_goes_on_and_one_that_wants_it_is_refused() {
    let bench = Bench::new(SOURCE);
    let mut command = bench.command(&["run", "--secret", "TOKEN"]);
    command.env("TOKEN", "s3cret-value");
    let mut engine = command.spawn().unwrap();
    bench.appears("up").await;
    kill(&mut engine);
    bench.touch("go");
    bench.plue(&["resume"]).ends(1);
    let run = bench.run().await;
    assert_eq!(bench.status(&run).await, RunStatus::Failed);
    assert_eq!((bench.lines("ran"), bench.lines("ran.wants")), (1, 0));
    let status = bench.plue(&["status", run.as_str()]).ends(0).stdout;
    assert!(status.contains("the secret `TOKEN` was not given to this run"), "{status}");
    bench.nothing_is_left().await;
}
