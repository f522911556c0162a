//! Numbers of the last runs of a workflow, and their picture.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{state::State, ui::time};

/// Runs of a picture.
pub const MAX_BARS: usize = 40;
/// Height and step of the picture's bars.
const HEIGHT: i64 = 32;
const STEP: usize = 6;

/// A run of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Id of the run.
    pub run: String,
    /// State by its status row.
    pub state: State,
    /// Time of its request.
    pub created: Timestamp,
    /// Start of its first step.
    pub started: Option<Timestamp>,
    /// End of its last step.
    pub ended: Option<Timestamp>,
}

/// Numbers of the runs that ended with success or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// Runs that passed or failed; cancelled ones do not count.
    pub ended: u64,
    /// Runs among them that passed.
    pub passed: u64,
    /// Median of their durations in milliseconds.
    pub p50_ms: Option<i64>,
    /// Duration that 95 of 100 do not exceed.
    pub p95_ms: Option<i64>,
}

// === impl Bar ===

impl Bar {
    /// Milliseconds from start to end, or to now.
    fn ms(&self, now: Timestamp) -> Option<i64> {
        let started = self.started?.as_millisecond();
        Some(self.ended.unwrap_or(now).as_millisecond().saturating_sub(started).max(0))
    }
}

/// The numbers of these runs.
#[must_use]
pub fn numbers(runs: &[Bar]) -> Numbers {
    let has_result = |bar: &&Bar| matches!(bar.state.tone(), "good" | "bad");
    let (mut ended, mut passed, mut times) = (0, 0, Vec::new());
    for bar in runs.iter().filter(has_result) {
        ended += 1;
        passed += u64::from(bar.state == State::Success);
        times.extend(bar.ended.and_then(|end| bar.ms(end)));
    }
    times.sort_unstable();
    Numbers { ended, passed, p50_ms: percentile(&times, 50), p95_ms: percentile(&times, 95) }
}

/// The nearest rank of sorted values.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The last runs as bars, the newest at the right: height by duration, colour and foot by state.
#[must_use]
pub fn sparkline(runs: &[Bar], now: Timestamp) -> Markup {
    let shown = runs.len().min(MAX_BARS);
    let longest = runs.iter().take(shown).filter_map(|bar| bar.ms(now)).max().unwrap_or(0).max(1);
    let width = MAX_BARS * STEP;
    html! {
        svg.spark viewBox={ "0 0 " (width) " " (HEIGHT) } width=(width) height=(HEIGHT) preserveAspectRatio="none" role="group"
            aria-label={ "The last " (shown) " runs" } {
            @for (at, bar) in runs.iter().take(shown).enumerate() {
                @let height = bar.ms(now).map_or(3, |ms| (ms.saturating_mul(HEIGHT - 3) / longest).max(3));
                @let x = width - (at + 1) * STEP;
                a href={ "/runs/" (bar.run) } tabindex="-1" {
                    title { (bar.state.word()) @if let Some(ms) = bar.ms(now) { ", " (time::took(ms)) } ", " (time::exact(bar.created)) }
                    rect.spark-hit x=(x) y="0" width=(STEP) height=(HEIGHT) {}
                    rect class={ "spark-bar " (bar.state.tone()) } x=(x + 1) y=(HEIGHT - height) width=(STEP - 2) height=(height) rx="1" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(state: State, ms: i64) -> Bar {
        let zero = Timestamp::UNIX_EPOCH;
        let ended = Timestamp::from_millisecond(ms).unwrap();
        Bar { run: "r1".to_owned(), state, created: zero, started: Some(zero), ended: Some(ended) }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let runs: Vec<Bar> = (1..=20).map(|ms| bar(State::Success, ms * 100)).collect();
        let numbers = numbers(&runs);
        assert_eq!((numbers.p50_ms, numbers.p95_ms), (Some(1_000), Some(1_900)));
        assert_eq!(numbers.passed, 20);
    }

    #[test]
    fn only_results_count() {
        let runs = [
            bar(State::Cancelled, 1),
            bar(State::Running, 2),
            bar(State::TimedOut, 3),
            bar(State::Success, 5),
        ];
        let numbers = numbers(&runs);
        assert_eq!((numbers.ended, numbers.passed, numbers.p50_ms), (2, 1, Some(3)));
        assert_eq!(super::numbers(&[]), Numbers::default());
    }

    #[test]
    fn pictures_are_bounded() {
        let runs = vec![bar(State::Failed, i64::MAX / 2_000_000); 500];
        let drawn = sparkline(&runs, Timestamp::UNIX_EPOCH).into_string();
        assert_eq!(drawn.matches("spark-bar bad").count(), MAX_BARS);
        assert!(!drawn.contains("style="));
    }
}
