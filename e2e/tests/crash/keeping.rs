//! Kills while something is kept of a step, or put back: nothing lost, nothing twice.

use plue_flow::RunStatus;

use crate::bench::{Bench, kill};

const KEEPING: &str = r#"
def workflow():
    keep = Retry(max_attempts=5, delay="0s", on=["infra"])
    make = "for n in $(seq 200); do head -c 30000 /dev/urandom > out/$n; done"
    return Plan(name="Keeping", steps=[
        Step.bash("make", "mkdir -p out; " + make + "; touch made", retry=keep,
                  artifacts=["out/**"], cache=Cache(key="k", paths=["out"])),
        Step.bash("gate", "until test -e go; do sleep 0.01; done", depends_on=["make"], retry=keep),
    ])
"#;

#[tokio::test]
async fn killed_uploads_store_each_file_once() {
    for what in ["engine", "runner", "all"] {
        let bench = Bench::new(KEEPING);
        let mut engine = bench.start(&["run"]);
        bench.appears("made").await;
        // The step's process is about to end and its files are being sent.
        match what {
            "engine" => kill(&mut engine),
            "runner" => bench.kill_runners().await,
            _ => {
                kill(&mut engine);
                bench.kill_all().await;
            }
        }
        bench.touch("go");
        if what == "runner" {
            engine.wait().unwrap();
        } else {
            bench.plue(&["resume"]).ends(0);
        }
        let run = bench.run().await;
        assert_eq!(bench.status(&run).await, RunStatus::Success, "{what}");
        let store = bench.store().await;
        let attempt = bench.attempt(&run, "make").await.claim.attempt;
        let files = store.artifacts().list(&run).await.unwrap();
        let files: Vec<_> = files.iter().filter(|row| row.attempt == attempt).collect();
        assert_eq!(files.len(), 200, "{what}");
        for file in files {
            assert!(
                store.blobs().stat(&file.blob).await.unwrap().is_some(),
                "{what}: {}",
                file.path
            );
        }
        let cached = store.caches().list().await.unwrap();
        assert_eq!(cached.len(), 1, "{what}");
        bench.nothing_is_left().await;
    }
}
