//! Attempts over time: the wait for a runner, its claim and the run as bars, retries one after another.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{address::Address, steps::StepTimes};
use crate::{
    state::State,
    ui::{text, time},
};

/// Steps that are drawn.
pub const MAX_LANES: usize = 500;
/// Units of a bar's box.
const UNITS: i64 = 1_000;
/// Marks of the axis.
const TICKS: i64 = 4;

/// The attempts of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Id of the step.
    pub step: String,
    /// Name of the step, or its id.
    pub title: String,
    /// Times of the current visit, as in the table of steps.
    pub times: StepTimes,
    /// Attempts in the order they were queued.
    pub tries: Vec<Bar>,
}

/// The times of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// State by its outcome.
    pub state: State,
    /// Visit of the step, and number within it, from 1.
    pub number: (u32, u32),
    /// Time at which it was queued.
    pub queued: Timestamp,
    /// Time at which a runner got it.
    pub assigned: Option<Timestamp>,
    /// Start of its process.
    pub started: Option<Timestamp>,
    /// Its end; none: it goes on.
    pub ended: Option<Timestamp>,
}

/// Milliseconds since 1970 of the picture's edges.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
}

/// The picture; nothing if no step was queued.
#[must_use]
pub fn draw(address: &Address, lanes: &[Lane], now: Timestamp) -> Markup {
    let Some(span) = span(lanes, now) else {
        return html! { p.muted.graph-none { "No step was queued yet." } };
    };
    let more = lanes.len().saturating_sub(MAX_LANES);
    html! {
        div.timeline #timeline {
            div.axis aria-hidden="true" {
                span {}
                div.marks {
                    @for tick in 0..=TICKS {
                        span { (time::took((span.to - span.from) * tick / TICKS)) }
                    }
                }
                span {}
            }
            ol {
                @for lane in lanes.iter().take(MAX_LANES) { (draw_lane(address, lane, span, now)) }
            }
        }
        @if more > 0 { p.muted { "And " (more) " more steps in the table." } }
        p.legend.muted {
            span.key { span.swatch.queue {} "waits for a runner" }
            span.key { span.swatch.claim {} "starts" }
            span.key { span.swatch.run {} "runs" }
        }
    }
}

fn span(lanes: &[Lane], now: Timestamp) -> Option<Span> {
    let bars = || lanes.iter().flat_map(|lane| &lane.tries);
    let from = bars().map(|bar| bar.queued).min()?.as_millisecond();
    let to = bars().map(|bar| bar.ended.unwrap_or(now)).max()?.as_millisecond();
    Some(Span { from, to: to.max(from + 1) })
}

fn draw_lane(address: &Address, lane: &Lane, span: Span, now: Timestamp) -> Markup {
    let is_chosen = address.step.as_deref() == Some(&lane.step);
    html! {
        li.lane class=[is_chosen.then_some("chosen")] {
            a href=(address.at(&lane.step)) data-step { (text::name(&lane.title)) }
            svg.bars viewBox={ "0 0 " (UNITS) " 20" } preserveAspectRatio="none" role="img"
                aria-label=(words(lane, now)) {
                @for bar in &lane.tries { g { title { (bar_words(bar, now)) } (draw_bar(bar, span, now)) } }
            }
            span.lane-took { (time::duration(lane.times.started, lane.times.ended, now)) }
        }
    }
}

/// Milliseconds that an attempt ran.
fn ran(bar: &Bar, now: Timestamp) -> i64 {
    let Some(start) = bar.started else { return 0 };
    let end = bar.ended.unwrap_or(now).as_millisecond();
    end.saturating_sub(start.as_millisecond()).max(0)
}

fn draw_bar(bar: &Bar, span: Span, now: Timestamp) -> Markup {
    let end = bar.ended.unwrap_or(now).as_millisecond();
    let queued = bar.queued.as_millisecond();
    // Starts are by the runner's clock, which may differ from ours.
    let inside = |at: Option<Timestamp>, low: i64| {
        at.map_or(end, Timestamp::as_millisecond).clamp(low, end.max(low))
    };
    let assigned = inside(bar.assigned, queued);
    let started = inside(bar.started, assigned);
    let rect = |class: &str, from: i64, to: i64, least: i64| {
        let scale = |ms: i64| (ms - span.from).max(0) * UNITS / (span.to - span.from);
        let (x, width) = (scale(from), (scale(to) - scale(from)).max(least));
        html! { @if width > 0 { rect class=(class) x=(x.min(UNITS - width)) y="4" width=(width) height="12" {} } }
    };
    let run = format!("run {}", bar.state.tone());
    html! {
        (rect("queue", queued, assigned, 0))
        (rect("claim", assigned, started, 0))
        @if bar.started.is_some() { (rect(&run, started, end, 2)) }
    }
}

/// The first bars in words.
fn words(lane: &Lane, now: Timestamp) -> String {
    let tries = lane.tries.iter().take(10).map(|bar| bar_words(bar, now));
    tries.collect::<Vec<_>>().join("; ")
}

fn bar_words(bar: &Bar, now: Timestamp) -> String {
    let (visit, number) = bar.number;
    let visit = if visit > 1 { format!(" of visit {visit}") } else { String::new() };
    let begin = bar.started.or(bar.ended).unwrap_or(now).as_millisecond();
    let waited = begin.saturating_sub(bar.queued.as_millisecond()).max(0);
    format!(
        "attempt {number}{visit}: waited {}, ran {}, {}",
        time::took(waited),
        time::took(ran(bar, now)),
        bar.state.word().to_lowercase()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn retries_are_bars_after_another() {
        let bar = |state, number, from: i64| Bar {
            state,
            number: (1, number),
            queued: at(from),
            assigned: Some(at(from + 100)),
            started: Some(at(from + 200)),
            ended: Some(at(from + 500)),
        };
        let tries = vec![bar(State::Failed, 1, 0), bar(State::Success, 2, 500)];
        let times = StepTimes { ready: None, started: Some(at(200)), ended: Some(at(1_000)) };
        let lane = Lane { step: "a".to_owned(), title: "a".to_owned(), times, tries };
        let drawn = draw(&Address::of("r", ""), &[lane], at(5_000)).into_string();
        for part in [
            r#"<rect class="queue" x="0" y="4" width="100""#,
            r#"<rect class="claim" x="100" y="4" width="100""#,
            r#"<rect class="run bad" x="200" y="4" width="300""#,
            r#"<rect class="run good" x="700" y="4" width="300""#,
            "attempt 1: waited 200 ms, ran 300 ms, failed; attempt 2",
            // As in the table: from the first start to the last end.
            r#"<span class="lane-took"><span class="took">800 ms</span></span>"#,
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
    }

    #[test]
    fn clocks_of_runners_may_be_wrong() {
        let bar = Bar {
            state: State::Running,
            number: (1, 1),
            queued: at(10_000),
            assigned: Some(at(10_100)),
            started: Some(at(1_000)),
            ended: None,
        };
        let lane = Lane {
            step: "a".to_owned(),
            title: "a".to_owned(),
            times: StepTimes::default(),
            tries: vec![bar],
        };
        let drawn = draw(&Address::of("r", ""), &[lane], at(11_000)).into_string();
        assert!(drawn.contains(r#"<rect class="run busy" x="100" y="4" width="900""#), "{drawn}");
        assert!(!drawn.contains("width=\"-"), "{drawn}");
    }

    #[test]
    fn runs_without_attempts_have_no_bars() {
        let drawn = draw(&Address::of("r", ""), &[], at(0)).into_string();
        assert!(drawn.contains("No step was queued"));
    }
}
