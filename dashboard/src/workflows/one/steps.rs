//! Steps of a workflow over its last runs: the slowest first, and the flaky ones.

use maud::{Markup, html};

use crate::{
    ops::usage::share,
    ui::{text, time},
};

/// Steps that are listed.
const MAX_STEPS: usize = 50;
/// Hundredths by which a mean must change to be called slower or faster.
const CHANGE: i64 = 20;

/// Numbers of a step over some runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLine {
    /// Id of the step in the plan.
    pub id: String,
    /// Runs in which it ended, in which it failed, and in which it passed only after a failed attempt.
    pub runs: (u64, u64, u64),
    /// Mean and longest time in milliseconds.
    pub ms: (i64, i64),
    /// Mean over the newer half of the runs, and over the older half.
    pub halves: (Option<i64>, Option<i64>),
}

// === impl StepLine ===

impl StepLine {
    /// Change of the mean from the older half to the newer, in hundredths, if it is worth a word.
    fn change(&self) -> Option<i64> {
        let (Some(newer), Some(older)) = self.halves else { return None };
        let change = newer.saturating_sub(older).saturating_mul(100) / older.max(1);
        (change.abs() >= CHANGE && newer.abs_diff(older) >= 1_000).then_some(change)
    }
}

/// The table of steps.
pub(super) fn section(steps: &[StepLine]) -> Markup {
    html! {
        section aria-labelledby="steps" {
            h2 #steps { "Steps, the slowest first" }
            div.card.flush.scroll {
                table.lines {
                    thead { tr { th { "Step" } th.right { "Mean" } th.right { "Longest" } th { "Lately" } th.right { "Failed" } th { "Flaky" } } }
                    tbody { @for step in steps.iter().take(MAX_STEPS) { (line(step)) } }
                }
            }
        }
    }
}

fn line(step: &StepLine) -> Markup {
    let (ended, failed, retried) = step.runs;
    let (mean, longest) = step.ms;
    html! {
        tr {
            td data-name="Step" { (text::name(&step.id)) }
            td.right.nums data-name="Mean" { (time::took(mean)) }
            td.right.nums data-name="Longest" { (time::took(longest)) }
            td data-name="Lately" {
                @match step.change() {
                    Some(change) if change > 0 => { span.bad { (change) " % slower" } }
                    Some(change) => { span.good { (change.abs()) " % faster" } }
                    None => { span.muted { "as before" } }
                }
            }
            td.right.nums data-name="Failed" { @if failed > 0 { span.bad { (share(failed, ended)) } } @else { span.muted { "never" } } }
            td data-name="Flaky" {
                @if retried > 0 { span.mark.wait title="Passed only after a failed attempt" { (retried) " of " (ended) } }
                @else { span.muted { "no" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(newer: Option<i64>, older: Option<i64>) -> StepLine {
        StepLine {
            id: "build".to_owned(),
            runs: (10, 1, 2),
            ms: (60_000, 90_000),
            halves: (newer, older),
        }
    }

    #[test]
    fn changes_count_from_a_fifth_on() {
        for (newer, older, wanted) in [
            (12_000, 10_000, Some(20)),
            (11_900, 10_000, None),
            (5_000, 10_000, Some(-50)),
            (900, 100, None),
        ] {
            assert_eq!(step(Some(newer), Some(older)).change(), wanted, "{newer} {older}");
        }
        assert_eq!(step(Some(9), None).change(), None);
    }

    #[test]
    fn failures_and_flakiness_are_shown() {
        let drawn = section(&[step(Some(20_000), Some(10_000))]).into_string();
        for part in ["1m 0s", "1m 30s", "100 % slower", "10 %", "2 of 10"] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
    }
}
