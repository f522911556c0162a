//! Words and colours for states, times and durations.

use std::sync::OnceLock;

use jiff::{Timestamp, tz::TimeZone};
pub use plue_api::explain::words::duration;
use plue_flow::{Awaited, RunStatus, StepStatus, StepView, fact::Reason};
use plue_plan::RunId;

use crate::terminal::Style;

/// The colour of a step's state.
#[must_use]
pub fn step_style(status: StepStatus) -> Style {
    match status {
        StepStatus::Pending | StepStatus::Queued | StepStatus::Skipped => Style::Dim,
        StepStatus::Running => Style::Cyan,
        StepStatus::Waiting => Style::Yellow,
        StepStatus::Success => Style::Green,
        StepStatus::Failed | StepStatus::TimedOut | StepStatus::Cancelled => Style::Red,
    }
}

/// The colour of a run's state.
#[must_use]
pub fn run_style(status: RunStatus) -> Style {
    match status {
        RunStatus::Queued => Style::Dim,
        RunStatus::Running => Style::Cyan,
        RunStatus::Waiting => Style::Yellow,
        RunStatus::Success => Style::Green,
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => Style::Red,
    }
}

/// A sign for a step's state that needs no colour.
#[must_use]
pub fn step_sign(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "·",
        StepStatus::Queued => "○",
        StepStatus::Running => "●",
        StepStatus::Waiting => "◷",
        StepStatus::Success => "✓",
        StepStatus::Skipped => "-",
        StepStatus::Cancelled => "■",
        StepStatus::Failed | StepStatus::TimedOut => "✗",
    }
}

/// The command that answers a step that waits for a decision; empty for others.
#[must_use]
pub fn how_to_answer(run: &RunId, view: &StepView) -> String {
    match &view.reason {
        Some(Reason::Awaits { what: Awaited::Decision { .. }, .. }) => {
            format!(" — plue approve {run} {step}, or plue reject {run} {step}", step = view.step)
        }
        Some(Reason::Awaits { what: Awaited::Call(asked), .. }) => {
            let (step, call) = (&view.step, &asked.call);
            format!(
                " — plue approve {run} {step} --call {call}, or plue reject {run} {step} --call {call}"
            )
        }
        Some(_) | None => String::new(),
    }
}

/// A time in the zone of the machine, to the second.
#[must_use]
pub fn time(at: Timestamp) -> String {
    plue_api::explain::words::time(at, zone())
}

/// The zone of the machine. Without `TZ` its rules are read from `/etc/localtime`: a look-up by name walks
/// through the zone database, which takes longer than most commands.
#[expect(clippy::disallowed_methods, reason = "a look-up by jiff reads TZ of the process as well")]
pub fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let is_named = std::env::var_os("TZ").is_some_and(|name| !name.is_empty());
        let rules = if is_named { None } else { std::fs::read("/etc/localtime").ok() };
        let zone = rules.and_then(|rules| TimeZone::tzif("Local", &rules).ok());
        zone.unwrap_or_else(TimeZone::system)
    })
}
