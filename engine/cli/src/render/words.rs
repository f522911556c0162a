//! Words and colours for states, times and durations.

use jiff::{Timestamp, tz::TimeZone};
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

/// A duration as people read it: `0.8ms`, `850ms`, `3.2s`, `4m 05s`, `2h 13m`.
#[must_use]
pub fn duration(from: Timestamp, to: Timestamp) -> String {
    let us = to.as_microsecond().saturating_sub(from.as_microsecond()).max(0);
    let ms = us / 1_000;
    match ms {
        0..10 => format!("{ms}.{}ms", us % 1_000 / 100),
        10..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// The command that answers a step that waits for a decision; empty for others.
#[must_use]
pub fn how_to_answer(run: &RunId, view: &StepView) -> String {
    match &view.reason {
        Some(Reason::Awaits { what: Awaited::Decision { .. }, .. }) => {
            format!(" — plue approve {run} {step}, or plue reject {run} {step}", step = view.step)
        }
        Some(_) | None => String::new(),
    }
}

/// A time in the zone of the machine, to the second.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        for (ms, text) in [
            (0, "0.0ms"),
            (999, "999ms"),
            (3_250, "3.2s"),
            (245_000, "4m 05s"),
            (8_000_000, "2h 13m"),
        ] {
            assert_eq!(duration(at(0), at(ms)), text);
        }
        assert_eq!(duration(at(5), at(0)), "0.0ms");
    }
}
