//! The attempts of a run as bars.

use std::collections::HashMap;

use plue_dashboard::{
    run::{
        steps::StepLine,
        timeline::{Bar, Lane},
    },
    state::State as Shown,
};
use plue_flow::{AttemptStatus, fact::Outcome};
use plue_store::AttemptRow;

/// One lane for each step that was queued, in the order of its first attempt.
pub(super) fn lanes(lines: &[StepLine], attempts: &[AttemptRow]) -> Vec<Lane> {
    let known: HashMap<&str, &StepLine> =
        lines.iter().map(|line| (line.id.as_str(), line)).collect();
    let mut lanes: Vec<Lane> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in attempts {
        let step = row.step.to_string();
        let place = *places.entry(step.clone()).or_insert_with(|| {
            let line = known.get(step.as_str());
            lanes.push(Lane {
                title: line.map_or(step.as_str(), |line| line.title()).to_owned(),
                times: line.map(|line| line.times).unwrap_or_default(),
                step: step.clone(),
                tries: Vec::new(),
            });
            lanes.len() - 1
        });
        if let Some(lane) = lanes.get_mut(place) {
            lane.tries.push(Bar {
                state: state(row),
                number: (row.visit, row.number),
                queued: row.queued_at,
                assigned: row.assigned_at,
                started: row.started_at,
                ended: row.ended_at,
            });
        }
    }
    lanes
}

/// The state of an attempt as pages show it.
pub(super) fn state(row: &AttemptRow) -> Shown {
    match row.state {
        AttemptStatus::Queued => Shown::Queued,
        AttemptStatus::Assigned | AttemptStatus::Running => Shown::Running,
        AttemptStatus::Cancelled => Shown::Cancelled,
        AttemptStatus::Lost => Shown::Failed,
        AttemptStatus::Done => match &row.outcome {
            Some(outcome) => of_outcome(outcome),
            None => Shown::Success,
        },
    }
}

fn of_outcome(outcome: &Outcome) -> Shown {
    match outcome {
        Outcome::Success => Shown::Success,
        Outcome::TimedOut => Shown::TimedOut,
        Outcome::Cancelled => Shown::Cancelled,
        Outcome::Exit { .. }
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Rejected { .. }
        | Outcome::Infra { .. } => Shown::Failed,
    }
}
