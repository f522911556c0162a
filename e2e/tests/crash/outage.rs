//! A database that goes away and comes back while steps run.

use std::{fs, process::Stdio};

use plue_flow::RunStatus;
use plue_store::{RunFilter, Store, StoreOptions};
use plue_testkit::{
    faults::{streams, violations},
    postgres::own::OwnServer,
};

use crate::bench::{Bench, until};

const SOURCE: &str = r#"
def workflow():
    gate = "echo x >> ran; echo before; touch up; until test -e go; do sleep 0.01; done; echo after; touch said"
    return Plan(name="Gated", steps=[
        Step.bash("gate", gate),
        Step.bash("other", "for i in {1..500}; do echo $i; done; echo x >> ran.other"),
        Step.bash("last", "echo last; echo x >> ran.last", depends_on=["gate", "other"]),
    ])
"#;

/// Postgres is stopped while a step runs; the step goes on and ends; Postgres is started again. All
/// without a second command.
#[tokio::test]
async fn failure_case_16_postgres_is_restarted_and_nothing_is_lost() {
    let bench = Bench::new(SOURCE);
    let server = OwnServer::start();
    let mut command = bench.command(&["run", "--database", &server.url()]);
    let path = bench.home().join("run.log");
    let log = fs::File::create(&path).unwrap();
    let mut engine = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let log_text = || fs::read_to_string(&path).unwrap();
    bench.appears("up").await;
    server.stop();
    // During the outage only the runner has the step's output.
    bench.touch("go");
    bench.appears("said").await;
    until(|| log_text().contains("the run waits for the database")).await;
    assert!(engine.try_wait().unwrap().is_none(), "the command waits");
    server.start_again();
    let status = engine.wait().unwrap();
    let log_text = log_text();
    assert!(status.success(), "{log_text}");
    assert!(log_text.contains("the database answers again"), "{log_text}");
    assert_eq!((bench.lines("ran"), bench.lines("ran.other"), bench.lines("ran.last")), (1, 1, 1));
    let store = Store::open(StoreOptions::new(server.url()).existing()).await.unwrap();
    let runs = store.runs().list(&RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].view.status, RunStatus::Success);
    let wrong = violations(&store, &runs[0].id).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    let numbers: String = (1..=500).map(|n| format!("{n}\n")).collect();
    for (step, log) in
        [("gate", "before\nafter\n"), ("other", numbers.as_str()), ("last", "last\n")]
    {
        let attempts = store.attempts().list(&runs[0].id, Some(&step.into())).await.unwrap();
        assert_eq!(attempts.len(), 1, "{step} was tried once");
        assert_eq!(streams(&store, &attempts[0].claim.attempt).await["Stdout"], log.as_bytes());
    }
    store.close().await;
    until(|| bench.processes().is_empty()).await;
}
