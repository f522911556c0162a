//! The messages about the steps of a followed run: each state of a step once.

use std::{collections::BTreeMap, io, io::Write};

use plue_api::records::StepRecord;
use plue_flow::{StepStatus, fact::Reason};

use crate::render::{live::Live, words};

/// The states of steps that were printed.
#[derive(Debug, Default)]
pub struct Narrator {
    /// Status, visit and attempts by step.
    printed: BTreeMap<String, (String, u32, u32)>,
}

// === impl Narrator ===

impl Narrator {
    /// Takes the state of a step as printed.
    pub fn skip(&mut self, step: &StepRecord) {
        self.printed.insert(step.step.clone(), state(step));
    }

    /// True if the state of a step was not printed yet.
    pub fn is_new(&self, step: &StepRecord) -> bool {
        self.printed.get(&step.step) != Some(&state(step))
    }

    /// Prints the state of a step, unless it was printed. `answer`: the commands that answer the step, if it
    /// waits for a decision.
    ///
    /// # Errors
    /// The output.
    pub fn narrate<W: Write>(
        &mut self,
        live: &mut Live<W>,
        step: &StepRecord,
        answer: impl FnOnce() -> String,
    ) -> io::Result<()> {
        if !self.is_new(step) {
            return Ok(());
        }
        self.skip(step);
        let reason = step.reason.as_deref();
        // The caller selected the steps that run.
        if reason.is_some_and(is_left_out) {
            return Ok(());
        }
        let Ok(status) = step.status.parse::<StepStatus>() else { return Ok(()) };
        match status {
            StepStatus::Waiting => {
                let reason = reason.unwrap_or("waits for its next attempt");
                live.note(status, &step.step, &format!("{reason}{}", answer()))
            }
            StepStatus::Pending | StepStatus::Queued | StepStatus::Running => Ok(()),
            StepStatus::Success
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::TimedOut => {
                let took = match (step.started_at, step.ended_at) {
                    (Some(from), Some(to)) => format!(" in {}", words::duration(from, to)),
                    _ => String::new(),
                };
                let why = reason.map_or(String::new(), |text| format!(": {text}"));
                live.ended(status, &step.step, &format!("{status}{took}{why}"))
            }
        }
    }
}

/// True for the reason of a step that its run leaves out.
fn is_left_out(reason: &str) -> bool {
    reason.starts_with(&Reason::NotSelected.to_string())
}

/// The state of a step that is printed once.
fn state(step: &StepRecord) -> (String, u32, u32) {
    (step.status.clone(), step.visit, step.attempts)
}
