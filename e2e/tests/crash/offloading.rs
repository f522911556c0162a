//! Logs on their way to an object store: a kill at any of its requests loses nothing, and however
//! long they are they come back byte for byte.

use std::{
    fs,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use nix::sys::resource::{UsageWho, getrusage};
use plue_testkit::objects::{Moment, Objects};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};

use crate::bench::{Bench, Ended};

/// Prints more than one part of an upload that does not compress well, unless there is a file `quiet`.
const NOISY: &str = r#"
def workflow():
    return Plan(name="Noisy", steps=[
        Step.bash("log", "test -e quiet || head -c 9500000 /dev/urandom | base64 | tee ../said"),
    ])
"#;

/// A million lines of 99 characters and a newline, most of them the same.
const MILLION: &str = r#"
def workflow():
    text = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghi"
    lines = "awk 'BEGIN { srand(7); for (i = 0; i < 1000000; i++) printf \"" + text + "%08x\\n\", rand() * 2147483647 }'"
    return Plan(name="Million", steps=[
        Step.bash("log", "test -e quiet || " + lines + " | tee ../said"),
    ])
"#;

/// More than any process of plue may hold: as in `row_1_31` of the database.
const MAX_KIB: i64 = 256 * 1024;

fn command(bench: &Bench, objects: &Objects, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.envs(objects.settings(&bench.home())).env("PLUE_OBJECTS_LOGS", "true");
    command
}

fn printed(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _may_not_be = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test]
async fn offloaded_logs_survive_kills_at_each_request() {
    let bench = Bench::new(NOISY);
    bench.plue(&["run", "-q"]).ends(0);
    let run = bench.run().await;
    let expected = fs::read(bench.home().join("../said")).unwrap();
    bench.touch("quiet");
    let before = bench.home().join("before");
    copy(&bench.state(), &before);
    let mut kills = 0;
    for n in 1.. {
        copy(&before, &bench.state());
        let objects = Objects::start();
        let passed = Arc::new(AtomicUsize::new(0));
        let (sender, pid) = mpsc::sync_channel::<Pid>(1);
        let mut victim = None;
        let seen = passed.clone();
        // The request is done, but its answer is lost.
        objects.watch(move |request| {
            if request.moment == Moment::After && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
                let pid = *victim.get_or_insert_with(|| pid.recv().unwrap());
                let _gone_already = kill_process(pid, Signal::KILL);
            }
            true
        });
        let mut engine = command(&bench, &objects, &["run", "-q"]);
        let mut engine = engine.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sender.send(Pid::from_child(&engine)).unwrap();
        let ended = engine.wait().unwrap();
        objects.look_away();
        // In each case the log is whole for every reader.
        let log = printed(command(&bench, &objects, &["logs", run.as_str(), "log"]));
        assert!(log == expected, "killed at {n}: {} bytes of {}", log.len(), expected.len());
        if !ended.success() {
            kills += 1;
            // And the next one that keeps house moves it.
            Ended::of(command(&bench, &objects, &["run", "-q"])).ends(0);
        }
        assert!(!objects.files().is_empty(), "{n}");
        let tail = ["logs", run.as_str(), "log", "--tail", "3"];
        let log = printed(command(&bench, &objects, &tail));
        assert!(
            expected.ends_with(&log) && !log.is_empty(),
            "moved after {n}: {} bytes of {}",
            log.len(),
            expected.len()
        );
        if ended.success() {
            break;
        }
    }
    assert!(kills > 6, "{kills}");
}

#[tokio::test]
async fn row_1_31_million_lines_round_trip_through_the_object_store() {
    let bench = Bench::new(MILLION);
    let objects = Objects::start();
    Ended::of(command(&bench, &objects, &["run", "-q"])).ends(0);
    let run = bench.run().await;
    // The run itself has kept house: its log is packed and moved.
    assert_eq!(objects.files().len(), 1, "{:?}", objects.files());
    let expected = fs::read(bench.home().join("../said")).unwrap();
    assert_eq!(expected.len(), 100_000_000);
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(most < MAX_KIB, "{most} KiB");
    let log = printed(command(&bench, &objects, &["logs", run.as_str(), "log"]));
    assert_eq!(Sha256::digest(&log), Sha256::digest(&expected));
    let tail = printed(command(&bench, &objects, &["logs", run.as_str(), "log", "--tail", "2"]));
    assert!(tail == expected[expected.len() - 200..]);
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(most < MAX_KIB, "{most} KiB");
    // Without the object store the log is missing, and the command reports it.
    let without = bench.plue(&["logs", run.as_str(), "log"]);
    assert_ne!(without.status.code(), Some(0), "{}", without.end());
}
