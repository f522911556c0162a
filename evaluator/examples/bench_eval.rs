//! Measures the evaluator: `cargo run --release -p plue-evaluator --example bench_eval [N]`.
//!
//! One JSON line per measurement. Every request is another file, so that nothing can be reused.
//! Build the program first: `cargo build --release -p plue-evaluator`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, runs a thread per evaluator, and stops at any failure"
)]

use std::time::Instant;

use harness::{Evaluator, SEED};
use plue_wire::eval::EvalOutcome;

#[expect(dead_code, reason = "the benchmark uses a part of the tests' harness")]
#[path = "../tests/evaluator/harness.rs"]
mod harness;

const WARM_UP: usize = 50;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(2_000);
    ready();
    let files: Vec<String> =
        (0..count).map(|number| SEED.replace("CI Pipeline", &format!("CI {number}"))).collect();
    let mut a = Evaluator::start(&["--hash-seed", "A"]);
    let mut b = Evaluator::start(&["--hash-seed", "B"]);
    for evaluator in [&mut a, &mut b] {
        (0..WARM_UP).for_each(|_| drop(evaluator.evaluate(SEED)));
    }
    cpu(&mut a, &files);
    report("one", &files, |file| assert_plan(&a.evaluate(file).outcome));
    report("pair", &files, |file| {
        a.send(file);
        b.send(file);
        let (one, other) = (a.receive().outcome, b.receive().outcome);
        assert_plan(&one);
        assert_eq!(one, other);
    });
    two_pairs(&files);
    let resident = [rss_kib(a.pid()), rss_kib(b.pid())];
    println!(
        "{}",
        serde_json::json!({ "bench": "idle", "rss_kib": resident, "pair_kib": resident[0] + resident[1], "pss_kib": [pss_kib(a.pid()), pss_kib(b.pid())] })
    );
}

/// CPU time per file, less affected by a busy machine than wall-clock time: the child's, and the
/// zygote's own.
fn cpu(evaluator: &mut Evaluator, files: &[String]) {
    let before = ticks(evaluator.pid());
    let mut children: Vec<u64> =
        files.iter().map(|file| evaluator.evaluate(file).usage.cpu_us).collect();
    children.sort_unstable();
    let zygote_us = (ticks(evaluator.pid()) - before) * 10_000 / files.len() as u64;
    let line = serde_json::json!({
        "bench": "cpu", "child_p50_us": children[children.len() / 2], "zygote_mean_us": zygote_us,
    });
    println!("{line}");
}

/// User and system time in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// The time from start to hello.
fn ready() {
    let mut times: Vec<f64> = (0..20)
        .map(|_| {
            let start = Instant::now();
            drop(Evaluator::start(&[]));
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({ "bench": "ready", "p50_ms": times[10], "max_ms": times[19] })
    );
}

/// Two pairs fed at the same time: what a machine of two cores carries.
fn two_pairs(files: &[String]) {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for half in files.chunks(files.len().div_ceil(2)) {
            scope.spawn(move || {
                let mut a = Evaluator::start(&["--hash-seed", "A"]);
                let mut b = Evaluator::start(&["--hash-seed", "B"]);
                for file in half {
                    a.send(file);
                    b.send(file);
                    assert_eq!(a.receive().outcome, b.receive().outcome);
                }
            });
        }
    });
    let rate = files.len() as f64 / start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "bench": "two_pairs", "files_per_s": rate }));
}

fn report(name: &str, files: &[String], mut evaluate: impl FnMut(&str)) {
    let start = Instant::now();
    let mut times: Vec<f64> = Vec::with_capacity(files.len());
    for file in files {
        let start = Instant::now();
        evaluate(file);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let rate = files.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let line = serde_json::json!({
        "bench": name, "count": files.len(), "p50_ms": at(0.5), "p99_ms": at(0.99),
        "min_ms": times[0], "files_per_s": rate,
    });
    println!("{line}");
}

fn assert_plan(outcome: &EvalOutcome) {
    assert!(matches!(outcome, EvalOutcome::Plans(_)), "{outcome:?}");
}

fn rss_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn pss_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
