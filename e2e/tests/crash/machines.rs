//! Engines on machines of their own: nothing is common but a database and an object store.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use plue_flow::{AttemptStatus, RunStatus};
use plue_plan::StepId;
use plue_runtime::Clock;
use plue_store::{LogRange, Store};
use plue_testkit::objects::Objects;

use crate::fleet::Fleet;

const LOOK: Duration = Duration::from_millis(20);

/// Needs a file of the commit, and keeps one that is too large for a row.
const SHARED: &str = r#"
def workflow(ctx):
    keep = Retry(max_attempts=5, delay="0s", on=["infra"])
    return Plan(
        name="Shared",
        triggers=[Trigger.on_manual()],
        steps=[
            Step.bash("make", "grep -q workflow .plue.py; seq 20000 > out.txt; sleep 0.2",
                      artifacts=["out.txt"], retry=keep),
            Step.bash("use", "tail -n 1 out.txt", depends_on=["make"], retry=keep),
        ],
    )
"#;

/// `gate` begins once more where its machine is gone, with what `make` left.
const GATED: &str = r#"
def workflow(ctx):
    keep = Retry(max_attempts=5, delay="0s", on=["infra"])
    make = "mkdir -p dir/deep; seq 20000 > dir/deep/large; echo small > dir/small; ln -s small dir/link; "
    make += "chmod 750 dir/small; rm gone.txt; echo more >> kept.txt"
    tree = "find . -path ./go -o -path ./up -o -printf '%P %y %m %l\\n' | sort; cat kept.txt; md5sum dir/deep/large"
    return Plan(
        name="Gated",
        triggers=[Trigger.on_manual()],
        steps=[
            Step.bash("make", make, retry=keep),
            Step.bash("before", tree, depends_on=["make"], retry=keep),
            Step.bash("gate", "touch up; until test -e go; do sleep 0.01; done", depends_on=["before"], retry=keep),
            Step.bash("after", tree, depends_on=["gate"], retry=keep),
        ],
    )
"#;

fn folders(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

async fn log(store: &Store, run: &plue_plan::RunId, step: &str) -> String {
    let attempts = store.attempts().list(run, Some(&StepId::new(step))).await.unwrap();
    let id = &attempts.last().unwrap().claim.attempt;
    let pieces = store.logs().read(id, LogRange::Bytes(0..u64::MAX)).await.unwrap();
    let bytes = pieces.into_iter().filter(|piece| piece.stream.is_output());
    String::from_utf8(bytes.flat_map(|piece| piece.bytes).collect()).unwrap()
}

#[tokio::test]
async fn engines_on_several_machines_share_runs_and_files() {
    let objects = Objects::start();
    let mut fleet = Fleet::separate(SHARED, &["--lease", "2s", "--max-runs", "2"], &objects);
    fleet.start(0);
    fleet.start(1);
    let mut runs = BTreeSet::new();
    // All are asked of one, and made by it: the other needs their files.
    for n in 0..8 {
        runs.insert(fleet.submit(&format!("key-{n}"), 0).await);
    }
    // Until both have driven, which chance decides.
    while folders(&fleet.state(1).join("workspaces")) == 0 {
        if fleet.open_runs().await < 4 {
            runs.insert(fleet.submit(&format!("key-{}", runs.len()), 0).await);
        }
        Clock::real().sleep(LOOK).await;
    }
    while fleet.open_runs().await > 0 {
        Clock::real().sleep(LOOK).await;
    }
    let ended = fleet.ends_well().await;
    assert_eq!(ended.len(), runs.len());
    assert!(!fleet.state(1).join("blobs").exists() && !fleet.state(0).join("blobs").exists());
    let store = fleet.store().await.with_blob_store(Arc::new(objects.bucket()));
    let expected: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    for run in &runs {
        assert_eq!(log(&store, run, "use").await, "20000\n");
        let files = store.artifacts().list(run).await.unwrap();
        let kept = store.blobs().whole(&files[0].blob, 1_000_000).await.unwrap().unwrap();
        assert!(kept == expected.as_bytes());
    }
    // One archive for the commit, one artifact.
    assert_eq!(objects.files().len(), 1, "{:?}", objects.files());
    store.close().await;
}

#[tokio::test]
async fn runs_of_lost_machines_continue_with_their_files() {
    let objects = Objects::start();
    let mut fleet = Fleet::separate(GATED, &["--lease", "2s"], &objects);
    for (name, text) in [("gone.txt", "gone\n"), ("kept.txt", "kept\n")] {
        fs::write(fleet.bench.repo().join(name), text).unwrap();
    }
    fleet.git(&["add", "-A"]);
    let commit =
        ["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid", "commit", "-qm", "more"];
    fleet.git(&commit);
    fleet.git(&["push", "-q", "origin", "HEAD:main"]);
    fleet.start(0);
    let run = fleet.submit("one", 0).await;
    let up = |fleet: &Fleet, n| fleet.state(n).join(format!("workspaces/{run}/up")).exists();
    while !up(&fleet, 0) {
        Clock::real().sleep(LOOK).await;
    }
    let store = fleet.store().await.with_blob_store(Arc::new(objects.bucket()));
    let states = async |step: &str| {
        let attempts = store.attempts().list(&run, Some(&StepId::new(step))).await.unwrap();
        attempts.into_iter().map(|row| row.state).collect::<Vec<_>>()
    };
    // Its start has to be stored: before that a loss is free.
    while states("gate").await != [AttemptStatus::Running] {
        Clock::real().sleep(LOOK).await;
    }
    // The machine is gone: its engine, its runners, its disk.
    fleet.kill(0);
    fleet.bench.kill_all().await;
    fs::rename(fleet.state(0), fleet.bench.home().join("gone")).unwrap();
    fleet.start(1);
    while !up(&fleet, 1) {
        Clock::real().sleep(LOOK).await;
    }
    fs::write(fleet.state(1).join(format!("workspaces/{run}/go")), "").unwrap();
    while fleet.open_runs().await > 0 {
        Clock::real().sleep(LOOK).await;
    }
    let ended = fleet.ends_well().await;
    assert_eq!(ended[0].view.status, RunStatus::Success);
    assert_eq!(states("make").await, [AttemptStatus::Done]);
    assert_eq!(states("gate").await, [AttemptStatus::Lost, AttemptStatus::Done]);
    let before = log(&store, &run, "before").await;
    assert!(before.contains("dir/deep/large") && !before.contains("gone.txt"), "{before}");
    assert_eq!(log(&store, &run, "after").await, before);
    store.close().await;
}
