//! Schedules with their last and next ticks, and pauses.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, Tab};
use crate::{
    shell::Page,
    ui::{
        self,
        form::{self, Action},
        text, time,
    },
    workflows::address,
};

/// A schedule of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Repository of the workflow.
    pub repo: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Five fields of cron, and the zone.
    pub cron: (String, String),
    /// Treatment of missed ticks.
    pub misfire: String,
    /// The latest tick that was taken.
    pub last: Option<Timestamp>,
    /// The next ticks, the first first.
    pub next: Vec<Timestamp>,
    /// The pause in force: its author, its start and its reason.
    pub paused: Option<Pause>,
    /// Whether the reader may pause and resume it.
    pub may_act: bool,
}

/// A pause of a workflow or of its schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Author of the pause.
    pub by: String,
    /// Start of the pause.
    pub since: Timestamp,
    /// Reason that its author gave.
    pub reason: Option<String>,
}

// === impl Pause ===

impl Pause {
    /// The pause in words.
    #[must_use]
    pub fn words(&self) -> Markup {
        html! {
            span.mark.wait { "paused" }
            span.sub {
                "by " (text::name(&self.by)) " " (time::when(self.since))
                @if let Some(reason) = &self.reason { ": " (text::line(reason)) }
            }
        }
    }
}

/// The page of these schedules.
#[must_use]
pub fn page(schedules: &[Schedule], frame: &Frame) -> Page {
    let content = html! {
        @if schedules.is_empty() {
            div.card { (nothing()) }
        } @else {
            div.card.flush.scroll {
                table.lines {
                    thead { tr { th { "Workflow" } th { "Schedule" } th { "Last" } th { "Next" } th { span.hidden { "Actions" } } } }
                    tbody { @for schedule in schedules { (line(schedule, &frame.csrf)) } }
                }
            }
        }
    };
    Tab::Schedules.page(frame, &content)
}

fn nothing() -> Markup {
    ui::empty(
        "No workflow has a schedule",
        "A schedule starts a workflow at times of a zone, once each, also after a restart. Give a plan one:",
        &["Trigger.on_schedule(\"0 3 * * *\", tz=\"Europe/Berlin\")"],
    )
}

fn line(schedule: &Schedule, csrf: &str) -> Markup {
    let (cron, zone) = &schedule.cron;
    html! {
        tr {
            td data-name="Workflow" {
                a href=(address(&schedule.repo, &schedule.workflow)) { (text::name(&schedule.workflow)) }
                span.sub { (text::name(&schedule.repo)) }
            }
            td data-name="Schedule" {
                (text::code(cron))
                span.sub { (text::name(zone)) " · missed: " (text::name(&schedule.misfire.replace('_', " "))) }
            }
            td data-name="Last" {
                @match schedule.last { Some(at) => { (time::when(at)) } None => { span.muted { "never" } } }
            }
            td data-name="Next" { (next(schedule)) }
            td.right { @if schedule.may_act { (action(schedule, csrf)) } }
        }
    }
}

fn next(schedule: &Schedule) -> Markup {
    html! {
        @match (&schedule.paused, schedule.next.split_first()) {
            (Some(pause), _) => { (pause.words()) }
            (None, None) => { span.muted { "none in the next years" } }
            (None, Some((first, later))) => {
                (time::when(*first))
                @if !later.is_empty() {
                    span.sub { "then " @for (at, tick) in later.iter().enumerate() { @if at > 0 { ", " } (time::when(*tick)) } }
                }
            }
        }
    }
}

/// The button that pauses or resumes the schedules of a workflow.
fn action(schedule: &Schedule, csrf: &str) -> Markup {
    if schedule.paused.is_some() {
        let fields = [
            ("repo", schedule.repo.as_str()),
            ("workflow", &schedule.workflow),
            ("scope", "schedule"),
        ];
        let resume = Action {
            path: "/workflows/resume",
            label: "Resume",
            class: "",
            fields: &fields,
            confirm: "",
        };
        return resume.render(csrf);
    }
    html! {
        details.fold {
            summary.button { "Pause" }
            form.stack method="post" action="/workflows/pause" {
                (form::hidden("csrf", csrf)) (form::hidden("repo", &schedule.repo))
                (form::hidden("workflow", &schedule.workflow)) (form::hidden("scope", "schedule"))
                label { "Reason" input name="reason" maxlength="500" autocomplete="off"; }
                button.primary { "Pause the schedule" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn schedule(text: &str) -> Schedule {
        Schedule {
            repo: text.to_owned(),
            workflow: text.to_owned(),
            cron: (text.to_owned(), text.to_owned()),
            misfire: "run_once".to_owned(),
            last: None,
            next: vec![Timestamp::UNIX_EPOCH; 3],
            paused: None,
            may_act: true,
        }
    }

    fn drawn(schedules: &[Schedule]) -> String {
        harmless(&page(schedules, &Frame { csrf: "word".to_owned(), ..Frame::default() }))
    }

    #[test]
    fn schedules_show_ticks_or_their_pause() {
        let pause = Pause { by: "ada".to_owned(), since: Timestamp::UNIX_EPOCH, reason: None };
        let paused = Schedule { paused: Some(pause), ..schedule("b") };
        let page = drawn(&[schedule("a"), paused]);
        assert!(page.contains("/workflows/pause") && page.contains("/workflows/resume"), "{page}");
        assert!(page.contains("by <bdi>ada") && page.contains("run once"), "{page}");
        let page = drawn(&[Schedule { may_act: false, ..schedule("a") }]);
        assert!(!page.contains("<form"), "{page}");
    }

    #[test]
    fn hostile_schedules_stay_text() {
        let text = &evil()[..3_000];
        let pause = Pause { by: evil(), since: Timestamp::UNIX_EPOCH, reason: Some(evil()) };
        drawn(&[schedule(text), Schedule { paused: Some(pause), ..schedule(text) }]);
        assert!(drawn(&[]).contains("Trigger.on_schedule"));
    }
}
