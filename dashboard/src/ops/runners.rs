//! Pools, runners, and the steps that wait for one with the reason.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, Tab};
use crate::{
    shell::Page,
    ui::{self, Tone, counted, grouped, notice, text, time},
};

/// Runners that are listed.
pub const MAX_RUNNERS: usize = 500;

/// The page of pools and runners.
#[derive(Debug, Clone, PartialEq)]
pub struct RunnersPage {
    /// Pools, in the order of their names.
    pub pools: Vec<Pool>,
    /// Runners that are not gone, at most [`MAX_RUNNERS`] + 1.
    pub runners: Vec<Runner>,
    /// Steps that wait for a runner, the oldest first.
    pub queue: Vec<Queued>,
    /// Steps that wait, all together.
    pub waiting: u64,
    /// Time of the page.
    pub now: Timestamp,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// A pool with its runners and attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// Name in labels and configuration.
    pub name: String,
    /// Runners that are ready, that work, and all that are not gone.
    pub runners: (usize, usize, usize),
    /// Runners at most, if it has a limit.
    pub max: Option<u32>,
    /// Attempts that wait, and attempts at work.
    pub attempts: (u64, u64),
    /// Whether it gets no further runners.
    pub draining: bool,
    /// Reason for which it has fewer runners than it should.
    pub degraded: Option<String>,
}

/// A runner that is not gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Id by which it registered.
    pub id: String,
    /// Name of the pool that it serves.
    pub pool: String,
    /// State by its row: `ready`.
    pub state: String,
    /// Run that it works for.
    pub run: Option<String>,
    /// Times of registration and of the last sign of life.
    pub times: (Timestamp, Timestamp),
}

/// A step that waits for a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Id of the run.
    pub run: String,
    /// Name of the workflow.
    pub workflow: String,
    /// `owner/name` of the repository.
    pub repo: Option<String>,
    /// Id of the step in the plan.
    pub step: String,
    /// Pool that it waits for.
    pub pool: String,
    /// Time from which it waits.
    pub since: Timestamp,
    /// Reason, if one is known.
    pub reason: Option<String>,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &RunnersPage, frame: &Frame) -> Page {
    let content = html! {
        @for pool in model.pools.iter().filter(|pool| pool.degraded.is_some()) {
            @if let Some(reason) = &pool.degraded {
                (notice(Tone::Bad, &html! { p { "Pool " (text::code(&pool.name)) ": " (text::line(reason)) } }))
            }
        }
        section aria-labelledby="pools" {
            h2 #pools { "Pools" }
            @if model.pools.is_empty() {
                div.card { (nothing()) }
            } @else {
                div.tiles { @for pool in &model.pools { (draw_pool(pool)) } }
            }
        }
        section aria-labelledby="queue" { (queue(model)) }
        @if !model.runners.is_empty() { section aria-labelledby="runners" { (runners(model)) } }
    };
    Tab::Runners.page(frame, &content).follow("runs", model.seq)
}

fn nothing() -> Markup {
    ui::empty(
        "No runner is here now",
        "A server starts runners of its pool `local` when a step is due, and keeps them for the next run. \
         Start a run, and its runner appears here:",
        &["plue run --server URL .plue.py"],
    )
}

fn draw_pool(pool: &Pool) -> Markup {
    let (ready, busy, all) = pool.runners;
    let (queued, running) = pool.attempts;
    html! {
        div.tile.pool {
            h3 {
                (text::name(&pool.name))
                @if pool.draining { " " span.mark.wait { "draining" } }
            }
            dl.facts {
                dt { "Runners" }
                dd.nums { (all) @if let Some(max) = pool.max { " of " (max) } }
                dt { "Ready" } dd.nums { (ready) }
                dt { "At work" } dd.nums { (busy) }
                dt { "Steps running" } dd.nums { (running) }
                dt { "Steps waiting" }
                dd.nums { @if queued > 0 { span.wait { (queued) } } @else { "0" } }
            }
        }
    }
}

fn queue(model: &RunnersPage) -> Markup {
    let more =
        usize::try_from(model.waiting).unwrap_or(usize::MAX).saturating_sub(model.queue.len());
    html! {
        h2 #queue { "Queue" }
        @if model.queue.is_empty() {
            p.muted { "No step waits for a runner." }
        } @else {
            div.card.flush.scroll {
                table.lines {
                    thead { tr { th { "Step" } th { "Pool" } th.right { "Waits" } th { "Why" } } }
                    tbody {
                        @for step in &model.queue {
                            tr {
                                td data-name="Step" {
                                    a href={ "/runs/" (step.run) } { (text::name(&step.workflow)) }
                                    " › " (text::name(&step.step))
                                    @if let Some(repo) = &step.repo { span.sub { (text::name(repo)) } }
                                }
                                td data-name="Pool" { (text::code(&step.pool)) }
                                td.right data-name="Waits" { (time::since(step.since, model.now)) }
                                td data-name="Why" {
                                    (text::line(step.reason.as_deref().unwrap_or("the runners of the pool are at work")))
                                }
                            }
                        }
                    }
                }
            }
            @if more > 0 { p.muted { "And " (counted(more, "more step")) "." } }
        }
    }
}

fn runners(model: &RunnersPage) -> Markup {
    html! {
        h2 #runners { "Runners" }
        div.card.flush.scroll {
            table.lines {
                thead { tr { th { "Runner" } th { "Pool" } th { "State" } th { "Run" } th { "Since" } th { "Last seen" } } }
                tbody {
                    @for runner in model.runners.iter().take(MAX_RUNNERS) {
                        @let (registered, seen) = runner.times;
                        tr {
                            td data-name="Runner" { (text::code(&runner.id)) }
                            td data-name="Pool" { (text::name(&runner.pool)) }
                            td data-name="State" { span class={ "mark " (tone(&runner.state)) } { (text::name(&runner.state)) } }
                            td data-name="Run" {
                                @match &runner.run {
                                    Some(run) => { a href={ "/runs/" (run) } { (text::code(run)) } }
                                    None => { span.muted { "none" } }
                                }
                            }
                            td data-name="Since" { (time::when(registered)) }
                            td data-name="Last seen" { (time::when(seen)) }
                        }
                    }
                }
            }
        }
        @if model.runners.len() > MAX_RUNNERS {
            p.muted { "The first " (grouped(MAX_RUNNERS)) " are listed." }
        }
    }
}

fn tone(state: &str) -> &'static str {
    match state {
        "ready" => "good",
        "claimed" => "busy",
        "warming" | "draining" => "wait",
        _ => "idle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn model(text: &str) -> RunnersPage {
        let text = || text.to_owned();
        let zero = Timestamp::UNIX_EPOCH;
        RunnersPage {
            pools: vec![Pool {
                name: text(),
                runners: (1, 2, 3),
                max: Some(9),
                attempts: (4, 2),
                draining: true,
                degraded: Some(text()),
            }],
            runners: vec![Runner {
                id: text(),
                pool: text(),
                state: "claimed".to_owned(),
                run: Some("r1".to_owned()),
                times: (zero, zero),
            }],
            queue: vec![Queued {
                run: "r2".to_owned(),
                workflow: text(),
                repo: Some(text()),
                step: text(),
                pool: text(),
                since: zero,
                reason: Some(text()),
            }],
            waiting: 4,
            now: zero,
            seq: 3,
        }
    }

    #[test]
    fn pools_runners_and_queue_are_shown() {
        let page = harmless(&page(&model("gpu"), &Frame::default()));
        for part in ["3 of 9", "draining", "/runs/r1", "/runs/r2", "And 3 more steps", "runs@3"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        harmless(&page(&model(&evil()), &Frame::default()));
    }

    #[test]
    fn servers_without_runners_teach() {
        let empty = RunnersPage {
            pools: Vec::new(),
            runners: Vec::new(),
            queue: Vec::new(),
            waiting: 0,
            now: Timestamp::UNIX_EPOCH,
            seq: 0,
        };
        let page = harmless(&page(&empty, &Frame::default()));
        assert!(page.contains("plue run") && page.contains("No step waits"), "{page}");
    }
}
