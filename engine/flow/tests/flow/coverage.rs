//! The tables are exactly what happens: each row is used, and nothing else is. Also draws them.

use std::{fs, path::Path};

use plue_flow::{
    AttemptStatus, RunStatus, StepStatus,
    machine::{Row, attempt, mermaid, run, step},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::{
    chance::{Features, case, play},
    player::TransitionCoverage,
};

/// Enough for each row to be used dozens of times.
const RUNS: usize = 1_000;

#[test]
fn every_listed_transition_happens_and_no_other() {
    let mut runner = TestRunner::deterministic();
    let cases = case(Features::All);
    let mut seen = TransitionCoverage::default();
    for _ in 0..RUNS {
        let case = cases.new_tree(&mut runner).unwrap().current();
        let played = play(&case, &mut |_| {}).seen;
        seen.run.extend(played.run);
        seen.step.extend(played.step);
        seen.attempt.extend(played.attempt);
    }
    assert_eq!(seen.run, run::TRANSITIONS.iter().copied().collect());
    assert_eq!(seen.step, step::TRANSITIONS.iter().copied().collect());
    assert_eq!(seen.attempt, attempt::TRANSITIONS.iter().copied().collect());
}

#[test]
fn a_transition_that_is_not_listed_is_refused() {
    for &from in StepStatus::ALL {
        let listed = step::TRANSITIONS.iter().filter(|row| row.0 == from).count();
        let events = step::TRANSITIONS.iter().map(|row| row.1);
        let events: std::collections::BTreeSet<_> = events.collect();
        let taken = events.iter().filter(|event| step::next(from, **event).is_ok());
        assert_eq!(taken.count(), listed, "{from}");
    }
    let ended = run::next(RunStatus::Success, run::RunEvent::Cancel).unwrap_err();
    assert_eq!(ended.to_string(), "a run that is success cannot cancel");
}

#[test]
fn only_returns_and_reopenings_leave_an_end() {
    for (from, event, _) in step::TRANSITIONS {
        assert!(!from.is_terminal() || *event == step::StepEvent::Return);
    }
    for (from, event, _) in run::TRANSITIONS {
        assert!(!from.is_terminal() || *event == run::RunEvent::Reopen);
    }
    assert!(attempt::TRANSITIONS.iter().all(|row| !row.0.is_terminal()));
}

/// Rewrites a page when `PLUE_BLESS` is set; else the page must be what it would write.
fn page<S, E>(name: &str, initial: S, table: &[Row<S, E>], terminal: fn(S) -> bool)
where
    S: Copy + PartialEq + std::fmt::Display,
    E: Copy + std::fmt::Display,
{
    let picture = mermaid(initial, table, terminal);
    let text = format!(
        "# The states of {name}\n\nGenerated from `engine/flow/src/machine/` by the test \
         `the_pages_show_the_tables` (`PLUE_BLESS=1` rewrites it).\n\n```mermaid\n{picture}```\n"
    );
    let file = name.rsplit(' ').next().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/states");
    let path = root.join(format!("{file}.md"));
    if option_env!("PLUE_BLESS").is_some() {
        fs::create_dir_all(&root).unwrap();
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "{}", path.display());
}

#[test]
fn the_pages_show_the_tables() {
    page("a run", RunStatus::Queued, run::TRANSITIONS, RunStatus::is_terminal);
    page("a step", StepStatus::Pending, step::TRANSITIONS, StepStatus::is_terminal);
    let (queued, ends) = (AttemptStatus::Queued, AttemptStatus::is_terminal);
    page("an attempt", queued, attempt::TRANSITIONS, ends);
}
