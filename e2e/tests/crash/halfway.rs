//! Kills during a restore: the files of a retry, a cache, a run from a file. The same command
//! again ends in the same state, and no reader ever sees half of it.

use std::{fs, path::Path};

use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::{LogRange, Store, StoreOptions};

use crate::bench::{Bench, kill, until};

const FILES: usize = 400;

/// `bend` prints the files it finds, and changes each of them.
const BENDING: &str = r#"
def workflow():
    tree = "find tree -type f -exec sha256sum {} + | sort; find tree -printf '%y %m %p %l\\n' | sort"
    make = "mkdir -p tree/was_folder tree/empty tree/files; ln -s files tree/link; echo f > tree/was_file; "
    make += "echo in > tree/was_folder/in; chmod 700 tree/empty; for n in {1000..1399}; do echo $n > tree/files/$n; done"
    bend = "rm -r tree/was_folder; echo x > tree/was_folder; rm tree/was_file; mkdir -m 750 tree/was_file; "
    bend += "echo y > tree/was_file/in; ln -sfn empty tree/link; rmdir tree/empty; mkdir -p tree/new/deep; echo z > tree/new/deep/z; "
    bend += "for n in {1000..1399}; do if ((n % 2)); then echo bent > tree/files/$n; else rm tree/files/$n; fi; done; test -e passes"
    return Plan(name="Bending", steps=[
        Step.bash("make", make),
        Step.bash("bend", tree + "; " + bend, depends_on=["make"]),
    ])
"#;

#[tokio::test]
async fn killed_restores_of_retries_are_repeated() {
    let mut halves = 0;
    for part in [0, FILES / 4, FILES / 2, FILES - 40] {
        let bench = Bench::new(BENDING);
        bench.plue(&["run"]).ends(1);
        let run = bench.run().await;
        let found = bench.logs(&run).await["bend"].clone();
        bench.touch("passes");
        let files = bench.repo().join("tree/files");
        let file = files.join((1_000 + part).to_string());
        for _ in 0..2 {
            let mut engine = bench.start(&["retry", run.as_str(), "--from", "bend"]);
            until(|| file.exists() || engine_is_over(&engine)).await;
            kill(&mut engine);
            // No step continues with half restored files.
            halves += usize::from(!files.join("1398").exists());
            assert_eq!(bench.plue(&["status"]).ends(0).stderr, "");
        }
        if bench.status(&run).await == RunStatus::Failed {
            fs::write(files.join(format!(".plue-{}", "0".repeat(40))), "a draft").unwrap();
            bench.plue(&["retry", run.as_str(), "--from", "bend"]).ends(0);
        } else {
            bench.plue(&["resume"]);
        }
        assert_eq!(bench.status(&run).await, RunStatus::Success);
        let attempts =
            bench.store().await.attempts().list(&run, Some(&"bend".into())).await.unwrap();
        assert_eq!(attempts.len(), 2, "it was not begun in between");
        assert_eq!(bench.logs(&run).await["bend"], found, "it finds what it found before");
        bench.nothing_is_left().await;
    }
    assert!(halves > 0, "every kill came too late");
}

/// Without waiting for it, so that it can still be killed.
fn engine_is_over(engine: &std::process::Child) -> bool {
    plue_testkit::faults::processes::Process::of(engine.id().cast_signed())
        .is_none_or(|process| !process.lives())
}

const CACHED: &str = r#"
def workflow():
    fill = "test -e deps || { mkdir deps; for n in {1..1500}; do echo $n > deps/$n; done; echo filled; }"
    keep = Retry(max_attempts=5, delay="0s", on=["infra"])
    return Plan(name="Cached", steps=[
        Step.bash("use", fill + "; ls -A | grep plue-restoring || true; ls deps | wc -l", retry=keep,
                  cache=Cache(key="k", paths=["deps"])),
    ])
"#;

#[tokio::test]
async fn killed_cache_restores_leave_all_or_nothing() {
    let mut halves = 0;
    for what in ["engine", "runner", "all", "all, and the cache is gone"] {
        let bench = Bench::new(CACHED);
        bench.plue(&["run"]).ends(0);
        let before = bench.runs().await;
        let (deps, half) = (bench.repo().join("deps"), bench.repo().join("deps.plue-restoring"));
        fs::remove_dir_all(&deps).unwrap();
        let mut engine = bench.start(&["run"]);
        until(|| half.join("100").exists() || deps.exists()).await;
        match what {
            "engine" => kill(&mut engine),
            "runner" => bench.kill_runners().await,
            _ => {
                kill(&mut engine);
                bench.kill_all().await;
            }
        }
        halves += usize::from(half.exists());
        if what != "engine" {
            assert!(count(&deps) == 0 || count(&deps) == 1_500, "{what}: {}", count(&deps));
        }
        if what.ends_with("gone") {
            let store = Store::open(StoreOptions::sqlite(&bench.database())).await.unwrap();
            store.caches().evict(0, Clock::real().now()).await.unwrap();
            store.close().await;
        }
        if what == "runner" {
            assert!(engine.wait().unwrap().success(), "{what}");
        } else {
            bench.plue(&["resume"]).ends(0);
        }
        let run = new_run(&bench, &before).await;
        assert_eq!(bench.status(&run).await, RunStatus::Success, "{what}");
        let log = String::from_utf8(bench.logs(&run).await["use"]["Stdout"].clone()).unwrap();
        assert!(log == "1500\n" || log == "filled\n1500\n", "{what}: {log}");
        assert!(!half.exists(), "{what}");
        assert_eq!(count(&deps), 1_500, "{what}");
        bench.nothing_is_left().await;
    }
    assert!(halves > 0, "every kill came too late");
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

async fn new_run(bench: &Bench, before: &[RunId]) -> RunId {
    let runs = bench.runs().await;
    runs.into_iter().find(|run| !before.contains(run)).expect("there is a new run")
}

const LOUD: &str = r#"
def workflow():
    loud = "for n in {1..400}; do head -c 9000 /dev/urandom | base64 -w 0; echo; done; head -c 300000 /dev/urandom > big"
    return Plan(name="Loud", steps=[Step.bash("loud", loud, artifacts=["big"]), Step.bash("other", "echo x")])
"#;

/// Stored parts of a run that is being opened: 1 its row, 2 its attempts, 3 some of its log, 4 all.
async fn stage(bench: &Bench, run: &RunId) -> Option<u8> {
    let store = Store::open(StoreOptions::sqlite(&bench.database()).read_only()).await.ok()?;
    let imported = store.archive().imported(run).await.ok()??;
    if !imported.manifest.is_empty() {
        return Some(4);
    }
    let attempts = store.attempts().list(run, Some(&"loud".into())).await.ok()?;
    let Some(attempt) = attempts.first() else { return Some(1) };
    let log = store.logs().read(&attempt.claim.attempt, LogRange::Bytes(0..1)).await.ok()?;
    Some(if log.is_empty() { 2 } else { 3 })
}

#[tokio::test]
async fn killed_imports_of_runs_stay_invisible() {
    let bench = Bench::new(LOUD);
    bench.plue(&["run"]).ends(0);
    bench.plue(&["export", "last", "../run.plue"]).ends(0);
    let file = bench.repo().join("../run.plue");
    let (path, run) = (file.to_str().unwrap(), bench.run().await);
    let mut halves = 0;
    for wanted in [1, 2, 3] {
        let other = Bench::new(LOUD);
        let mut engine = other.start(&["open", path]);
        while stage(&other, &run).await.is_none_or(|stage| stage < wanted) {}
        kill(&mut engine);
        if stage(&other, &run).await.is_some_and(|stage| stage < 4) {
            halves += 1;
            assert_eq!(other.runs().await, [], "{wanted}");
            let ended = other.plue(&["runs", "--output", "json"]).ends(0);
            assert!(!ended.stdout.contains(run.as_str()), "{wanted}");
            for command in ["status", "logs", "explain", "retry", "rerun", "cancel"] {
                other.plue(&[command, run.as_str()]).ends(4);
            }
            other.plue(&["resume"]).ends(0);
            other.plue(&["open", path]).ends(0);
        }
        assert_eq!(other.run().await, run);
        other.plue(&["export", run.as_str(), "../back.plue"]).ends(0);
        let back = fs::read(other.repo().join("../back.plue")).unwrap();
        assert!(back == fs::read(&file).unwrap(), "{wanted}: it is not the same run");
        other.nothing_is_left().await;
    }
    assert!(halves > 0, "every kill came too late");
}
