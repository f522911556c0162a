//! Twenty thousand files through one zygote, every tenth of them ended by force: nothing may grow.
//!
//! `cargo run -p plue-evaluator --example endurance N` sends as many as you like.
#![expect(clippy::unwrap_used, reason = "the functions that the tests share are not seen as tests")]

use plue_wire::eval::{EvalOutcome, Killed};

use crate::harness::{Evaluator, SEED};

/// One in so many is ended for its memory.
const BOMB: usize = 10;
/// One in so many is ended for its time instead, which takes a second each.
const SLOW: usize = 2_000;
/// Files until caches and free lists have their size.
const WARM_UP: usize = 200;
/// Growth of resident memory that is noise: some pages.
const NOISE_KIB: u64 = 512;

const MEMORY: &str = "def workflow():\n    return 'x' * (1 << 30)\n";

#[derive(Debug)]
struct Footprint {
    resident_kib: u64,
    descriptors: usize,
    children: usize,
}

/// Memory of the idle evaluator. Its reply comes a moment before it closes the last pipe, hence the
/// lowest of many samples.
fn footprint(evaluator: &Evaluator) -> Footprint {
    let pid = evaluator.pid();
    let look = || {
        std::thread::yield_now();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        (children.split_whitespace().count(), descriptors)
    };
    let (children, descriptors) = (0..1_000).map(|_| look()).min().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident_kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
    Footprint { resident_kib, descriptors, children }
}

#[test]
fn twenty_thousand_files_and_two_thousand_kills_leave_nothing_behind() {
    endure(20_000);
}

/// Sends so many files and compares what the zygote holds before and after.
pub(crate) fn endure(count: usize) {
    let mut evaluator = Evaluator::start(&[]);
    for _ in 0..WARM_UP {
        evaluator.assert_healthy();
        assert_eq!(evaluator.evaluate(MEMORY).outcome, EvalOutcome::Killed(Killed::Memory));
    }
    let before = footprint(&evaluator);
    for number in 1..=count {
        if number % SLOW == 0 {
            evaluator.assert_time_runs_out("def workflow():\n    while True:\n        pass\n");
        } else if number % BOMB == 0 {
            let outcome = evaluator.evaluate(MEMORY).outcome;
            assert_eq!(outcome, EvalOutcome::Killed(Killed::Memory));
        } else {
            let source = SEED.replace("CI Pipeline", &format!("CI {number}"));
            assert!(matches!(evaluator.evaluate(source).outcome, EvalOutcome::Plans(_)));
        }
    }
    let after = footprint(&evaluator);
    assert!(after.resident_kib <= before.resident_kib + NOISE_KIB, "{before:?} {after:?}");
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(after.children, 0);
}
