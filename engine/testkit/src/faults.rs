//! Invariants after any fault, and tests' view of processes.
//!
//! One checker for every scenario: [`violations`]. Must not know how the fault was made.

mod life;
pub mod points;
pub mod processes;
pub mod runner;
mod script;
pub mod stand;

use std::{collections::BTreeMap, sync::Arc};

use plue_flow::{AttemptStatus, Fact, Run};
use plue_plan::{AttemptId, RunId};
use plue_store::{AttemptRow, LogRange, LogStream, Store};

/// Everything that is wrong with a run in the store; empty if it is sound.
///
/// # Panics
/// If the database cannot be read.
pub async fn violations(store: &Store, id: &RunId) -> Vec<String> {
    let stored = store.runs().load(id).await.expect("readable").expect("the run is there");
    let plan = store.plans().parsed(&stored.run.plan).await.expect("a plan");
    let plan = Arc::new(plan.expect("its plan is there"));
    let facts: Vec<Fact> = stored.journal.iter().map(|(_, fact)| fact.clone()).collect();
    let mut wrong = Vec::new();
    if stored.run.seq != facts.len() as u64 {
        wrong.push(format!("seq {} with {} facts", stored.run.seq, facts.len()));
    }
    let run = match Run::fold(id.clone(), plan, stored.journal) {
        Ok(run) => run,
        Err(error) => return vec![format!("the journal does not fold: {error}")],
    };
    if run.view() != stored.run.view {
        wrong.push(format!("the row {:?} is not the journal's {:?}", stored.run.view, run.view()));
    }
    for row in store.runs().steps(id).await.expect("readable") {
        if Some(&row.view) != run.step_view(&row.view.step).as_ref() {
            wrong.push(format!("the row of step {} is not the journal's", row.view.step));
        }
    }
    let attempts = store.attempts().list(id, None).await.expect("readable");
    for attempt in &attempts {
        wrong.extend(attempt_violations(attempt, &facts, run.is_finished()));
        wrong.extend(log_violations(store, attempt).await);
    }
    if run.is_finished() {
        for runner in store.runners().list(Some(id)).await.expect("readable") {
            wrong.push(format!("runner {} is {:?} after the end", runner.id, runner.state));
        }
    }
    wrong
}

/// One outcome, the same in the journal and in the row.
fn attempt_violations(row: &AttemptRow, facts: &[Fact], is_over: bool) -> Vec<String> {
    let id = &row.claim.attempt;
    let mut wrong = Vec::new();
    let mut say = |text: String| wrong.push(format!("attempt {id}: {text}"));
    let outcomes: Vec<_> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::AttemptEnded { attempt, outcome, .. } if attempt == id => Some(outcome),
            _ => None,
        })
        .collect();
    let starts = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::AttemptStarted { attempt, .. } if attempt == id));
    if starts.count() > 1 {
        say("started twice".to_owned());
    }
    let terminal = row.state.is_terminal();
    if usize::from(terminal) != outcomes.len() {
        say(format!("{} with {} outcomes", row.state, outcomes.len()));
    }
    if is_over && !terminal {
        say(format!("{} after the end of its run", row.state));
    }
    // A withdrawn attempt has no outcome of its own in its row.
    let recorded = matches!(row.state, AttemptStatus::Done | AttemptStatus::Lost);
    if recorded && row.outcome.as_ref() != outcomes.first().copied() {
        say(format!("its row says {:?}, the journal {outcomes:?}", row.outcome));
    }
    wrong
}

/// A log without holes: every byte follows the one before, and their number is that of the row.
async fn log_violations(store: &Store, row: &AttemptRow) -> Vec<String> {
    let id = &row.claim.attempt;
    let pieces = store.logs().read(id, LogRange::Bytes(0..u64::MAX)).await.expect("readable");
    let (mut wrong, mut next, mut seq) = (Vec::new(), 0, 0);
    for piece in &pieces {
        if piece.first_byte != next || piece.seq <= seq {
            wrong.push(format!("attempt {id}: its log breaks at byte {next}, event {seq}"));
        }
        if is_output(piece.stream) {
            next += piece.bytes.len() as u64;
        }
        seq = piece.seq;
    }
    if next != row.log_bytes || seq > row.log_reach {
        wrong.push(format!(
            "attempt {id}: its log has {next} bytes up to event {seq}, its row says {} up to {}",
            row.log_bytes, row.log_reach
        ));
    }
    wrong
}

/// The log of an attempt, each stream by itself: how two streams interleave is up to chance.
///
/// # Panics
/// If the database cannot be read.
pub async fn streams(store: &Store, attempt: &AttemptId) -> BTreeMap<String, Vec<u8>> {
    let pieces = store.logs().read(attempt, LogRange::Bytes(0..u64::MAX)).await.expect("readable");
    let mut streams: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for piece in pieces {
        streams.entry(format!("{:?}", piece.stream)).or_default().extend(piece.bytes);
    }
    streams
}

/// Remarks have no bytes of the log.
fn is_output(stream: LogStream) -> bool {
    match stream {
        LogStream::Stdout | LogStream::Stderr => true,
        LogStream::Gap | LogStream::Note => false,
    }
}
