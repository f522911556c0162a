//! Logs of every size and kind, stored and read back byte for byte by a program whose memory is bounded.

use std::process::Stdio;

use nix::sys::resource::{UsageWho, getrusage};
use plue_plan::{RunId, StepId};
use plue_store::{LogRange, RunFilter, Store, StoreOptions};
use plue_testkit::postgres::Database;

use crate::bench::Bench;

/// Bytes of a log read at once.
const PAGE: u64 = 4 * 1024 * 1024;
/// Memory limit of the engine, for logs and lines of any length.
const MAX_ENGINE_KIB: u64 = 200 * 1024;

/// Runs the only workflow to its end; gives the most memory that a process of this test which has
/// ended, so the engine or a program that it waited for, has used, in KiB.
fn run(bench: &Bench, more: &[&str]) -> u64 {
    let mut command = bench.command(&[&["run", "-q"][..], more].concat());
    command.env("PLUE_RUNNER_LOG_LIMIT_BYTES", "4000000000");
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    used.max_rss().try_into().unwrap()
}

async fn only_run(store: &Store) -> RunId {
    let runs = store.runs().list(&RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    runs[0].id.clone()
}

/// Reads the log of a step in pages and hands them over.
async fn read(store: &Store, run: &RunId, step: &str, mut take: impl FnMut(&[u8])) -> u64 {
    let attempts = store.attempts().list(run, Some(&StepId::new(step))).await.unwrap();
    let id = &attempts.last().unwrap().claim.attempt;
    let mut at = 0;
    loop {
        let pieces = store.logs().read(id, LogRange::Bytes(at..at + PAGE)).await.unwrap();
        let Some(last) = pieces.last() else { return at };
        at = last.end();
        pieces.iter().for_each(|piece| take(&piece.bytes));
    }
}

/// Length of the log of `lines`, and whether it equals the output of `seq`.
async fn counted(store: &Store) -> (u64, bool) {
    let run = only_run(store).await;
    let mut expected = (1..).flat_map(|n: u32| format!("{n}\n").into_bytes());
    let mut same = true;
    let length = read(store, &run, "lines", |bytes| {
        same &= bytes.iter().all(|byte| Some(*byte) == expected.next());
    })
    .await;
    (length, same)
}

#[tokio::test]
async fn failure_case_19_gibibyte_lines_need_little_memory() {
    let bench = Bench::new(
        r#"
def workflow():
    return Plan(name="Long", steps=[Step.bash("line", "head -c 1G /dev/zero | tr '\\0' x")])
"#,
    );
    let most = run(&bench, &[]);
    assert!(most < MAX_ENGINE_KIB, "the engine took {most} KiB");
    let store = bench.store().await;
    let run = only_run(&store).await;
    let mut others = 0;
    let length = read(&store, &run, "line", |bytes| {
        others += bytes.iter().filter(|byte| **byte != b'x').count();
    })
    .await;
    assert_eq!((length, others), (1 << 30, 0));
}

#[tokio::test]
async fn failure_case_19_a_hundred_megabytes_come_back_byte_for_byte() {
    let bench = Bench::new(
        r#"
def workflow():
    return Plan(name="Long", steps=[Step.bash("lines", "(seq 100000000 || true) | head -c 100M")])
"#,
    );
    let most = run(&bench, &[]);
    assert!(most < MAX_ENGINE_KIB, "the engine took {most} KiB");
    let store = bench.store().await;
    assert_eq!(counted(&store).await, (100 << 20, true));
}

/// NULs, bytes that are no text, progress bars, no last newline: on both streams.
const STRANGE: &str = r#"
def workflow():
    code = '''
import os
for n in range(200):
    os.write(1, bytes(range(256)))
    os.write(1, b"\\r%3d %%" % n)
    os.write(1, b"\\0\\0\\xff\\xfe\\xc3(\\xed\\xa0\\x80\\x1b[31m")
os.write(1, b"no newline")
'''
    return Plan(name="Strange", steps=[Step.python("strange", code)])
"#;

fn strange() -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..200 {
        bytes.extend(0..=255);
        bytes.extend(format!("\r{n:3} %").into_bytes());
        bytes.extend(b"\0\0\xff\xfe\xc3(\xed\xa0\x80\x1b[31m");
    }
    bytes.extend(b"no newline");
    bytes
}

async fn strange_bytes(bench: &Bench, store: &Store) {
    let run = only_run(store).await;
    let mut found = Vec::new();
    read(store, &run, "strange", |bytes| found.extend_from_slice(bytes)).await;
    assert!(found == strange(), "{} bytes", found.len());
    assert_eq!(bench.processes(), []);
}

#[tokio::test]
async fn failure_case_19_bytes_that_are_no_text_come_back_unchanged() {
    let bench = Bench::new(STRANGE);
    run(&bench, &[]);
    strange_bytes(&bench, &bench.store().await).await;
    let output = bench.command(&["logs", "last", "strange"]).output().unwrap();
    assert!(output.stdout == strange(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn failure_case_19_binary_logs_round_trip_through_postgres() {
    let bench = Bench::new(STRANGE);
    let database = Database::create();
    run(&bench, &["--database", &database.url()]);
    let store = Store::open(StoreOptions::new(database.url()).existing()).await.unwrap();
    strange_bytes(&bench, &store).await;
}

#[tokio::test]
async fn failure_case_19_ten_megabytes_round_trip_through_postgres() {
    let bench = Bench::new(
        r#"
def workflow():
    return Plan(name="Long", steps=[Step.bash("lines", "(seq 100000000 || true) | head -c 10M")])
"#,
    );
    let database = Database::create();
    let most = run(&bench, &["--database", &database.url()]);
    assert!(most < MAX_ENGINE_KIB, "the engine took {most} KiB");
    let store = Store::open(StoreOptions::new(database.url()).existing()).await.unwrap();
    assert_eq!(counted(&store).await, (10 << 20, true));
}

/// As many as two plans can have.
#[tokio::test]
async fn ten_thousand_short_steps_keep_their_logs() {
    let bench = Bench::new(
        r#"
def workflow():
    return Plan(name="Many", max_parallel=8, steps=[
        Step.bash(f"s{n}", f"echo {n}") for n in range(5000)
    ])
"#,
    );
    for _ in 0..2 {
        run(&bench, &[]);
    }
    let store = bench.store().await;
    for run in bench.runs().await {
        for n in (0..5_000).step_by(97) {
            let mut found = Vec::new();
            read(&store, &run, &format!("s{n}"), |bytes| found.extend_from_slice(bytes)).await;
            assert_eq!(found, format!("{n}\n").into_bytes());
        }
        let wrong = plue_testkit::faults::violations(&store, &run).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
