//! The list of runs: filters in the address, pages by cursor, and actions on several runs.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    run::head::{Cause, Times},
    shell::{Page, Section},
    state::State,
    ui::{self, Tone, form, money, notice, text, time},
};

mod filter;
pub mod views;

pub use filter::{ACTIVE, Filter};
use views::Views;

/// A page of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunsPage {
    /// Runs of the page, newest first.
    pub lines: Vec<RunLine>,
    /// The filter that they passed.
    pub filter: Filter,
    /// Filters that the reader saved.
    pub views: Views,
    /// Types of events to filter by.
    pub events: &'static [&'static str],
    /// Id behind which the next page begins.
    pub older: Option<String>,
    /// Id before which the page before ends.
    pub newer: Option<String>,
    /// Message about the last action.
    pub done: Option<(Tone, String)>,
    /// The session's word, if the reader may act on some run.
    pub csrf: Option<String>,
    /// Time of the page.
    pub now: Timestamp,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// A run of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// Id of the run or step.
    pub id: String,
    /// Name of its workflow.
    pub workflow: String,
    /// Title of its pull request or issue.
    pub title: Option<String>,
    /// State by its status row.
    pub state: State,
    /// Reason of the state.
    pub reason: Option<String>,
    /// Event that started it.
    pub cause: Cause,
    /// Times of creation, start and end.
    pub times: Times,
    /// Dollars spent on Claude; none: it asked nothing.
    pub usd: Option<f64>,
    /// Whether its plan differs from that of the run before.
    pub has_new_plan: bool,
    /// Whether the reader may cancel or retry it.
    pub may_act: bool,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &RunsPage) -> Page {
    let has_filter = model.filter != Filter::default();
    let body = html! {
        div.head {
            h1 { "Runs" }
            div.actions { (model.views.action(&model.filter)) }
        }
        @if let Some((tone, message)) = &model.done { (notice(*tone, &html! { p { (message) } })) }
        (model.views.draw(&model.filter))
        (model.filter.draw(model.events))
        @if model.lines.is_empty() {
            div.card { (nothing(has_filter)) }
        } @else {
            (list(model))
            (pager(model))
        }
    };
    Page::new("Runs", body).section(Section::Runs).follow("runs", model.seq)
}

fn nothing(has_filter: bool) -> Markup {
    match has_filter {
        true => html! {
            div.empty {
                h2 { "No run passes this filter" }
                p.muted { "Take a condition away, or look at all runs." }
                p { a.button href="/runs" { "Show all runs" } }
            }
        },
        false => ui::empty(
            "No runs yet",
            "A run starts when an event of a watched repository fires a trigger, or when you ask for one. \
             Watch a repository, then push to it, or start a workflow yourself:",
            &[
                "plue repo add owner/name --forge github --url https://…",
                "plue run path/to/workflow.plue.py",
            ],
        ),
    }
}

fn list(model: &RunsPage) -> Markup {
    let has_cost = model.lines.iter().any(|line| line.usd.is_some());
    let class = if has_cost { "card flush runs has-cost" } else { "card flush runs" };
    html! {
        form #bulk method="post" action="/runs/bulk" {
            @if let Some(csrf) = &model.csrf {
                (form::hidden("csrf", csrf))
                (form::hidden("back", &model.filter.href()))
                div.bulk {
                    span.muted { "With the marked runs:" }
                    button name="action" value="cancel" class="danger" { "Cancel" }
                    button name="action" value="retry" { "Retry failed steps" }
                }
            }
            div class=(class) {
                div.runs-head aria-hidden="true" {
                    span {} span { "Run" } span.runs-num { "Queued" } span.runs-num { "Duration" }
                    @if has_cost { span.runs-num { "Cost" } }
                    span.runs-num { "Created" }
                }
                ol {
                    @for line in &model.lines { (row(line, model.now, has_cost)) }
                }
            }
        }
    }
}

fn row(line: &RunLine, now: Timestamp, has_cost: bool) -> Markup {
    let (cause, times) = (&line.cause, &line.times);
    let path = format!("/runs/{}", line.id);
    html! {
        li.runs-row id={ "run-" (line.id) } {
            span.runs-pick {
                @if line.may_act {
                    input.pick type="checkbox" name="run" value=(line.id)
                        aria-label={ "Mark the run of " (text::bounded(&line.workflow, text::NAME)) };
                }
            }
            div.runs-main {
                div.runs-title {
                    (line.state.icon())
                    a.runs-link href=(path) data-row {
                        (text::name(&line.workflow))
                    }
                    @if let Some(title) = &line.title { span.runs-what { (text::line(title)) } }
                    @if line.has_new_plan {
                        a.tag href={ (path) "/plan" } title="The plan differs from the run before" { "plan changed" }
                    }
                }
                div.runs-sub {
                    @if let Some(repo) = &cause.repo { span { (text::name(repo)) } }
                    @if let Some(branch) = &cause.branch { span.branch { (text::name(branch)) } }
                    @if let Some(sha) = &cause.sha { span { (text::hash(sha)) } }
                    span {
                        (text::name(&cause.event))
                        @if let Some(actor) = &cause.actor { " by " (text::name(actor)) }
                    }
                    @if let Some(reason) = &line.reason { span.runs-why { (text::line(reason)) } }
                }
            }
            span.runs-num data-name="queued" {
                @if let Some(ms) = times.queued_ms() { (time::took(ms)) }
                @else if line.state.is_live() { (time::since(times.created, now)) }
            }
            span.runs-num data-name="took" { (time::duration(times.started, times.ended, now)) }
            @if has_cost {
                span.runs-num data-name="cost" { @if let Some(usd) = line.usd { (money(usd)) } }
            }
            span.runs-num.muted { (time::when(times.created)) }
        }
    }
}

fn pager(model: &RunsPage) -> Markup {
    if model.older.is_none() && model.newer.is_none() {
        return html! {};
    }
    html! {
        nav.pager aria-label="Pages" {
            @if let Some(newer) = &model.newer {
                a.button rel="prev" href=(model.filter.page("after", newer)) { "← Newer" }
            }
            @if let Some(older) = &model.older {
                a.button rel="next" href=(model.filter.page("before", older)) { "Older →" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::Shell;

    pub(super) fn line(id: &str) -> RunLine {
        RunLine {
            id: id.to_owned(),
            workflow: "ci".to_owned(),
            title: None,
            state: State::Running,
            reason: None,
            cause: Cause { event: "push".to_owned(), ..Cause::default() },
            times: Times {
                created: "2026-11-24T20:00:00Z".parse().unwrap(),
                started: Some("2026-11-24T20:00:02Z".parse().unwrap()),
                ended: None,
            },
            usd: None,
            has_new_plan: false,
            may_act: false,
        }
    }

    fn model(lines: Vec<RunLine>) -> RunsPage {
        RunsPage {
            lines,
            filter: Filter::default(),
            views: Views::default(),
            events: &["push"],
            older: None,
            newer: None,
            done: None,
            csrf: None,
            now: "2026-11-24T20:01:00Z".parse().unwrap(),
            seq: 7,
        }
    }

    fn drawn(model: &RunsPage) -> String {
        page(model).render(&Shell::default())
    }

    #[test]
    fn rows_show_queue_time_duration_and_cost() {
        let paid = RunLine { usd: Some(0.42), has_new_plan: true, ..line("r1") };
        let page = drawn(&model(vec![paid]));
        for part in ["2.0 s", "58.0 s", "$0.42", "plan changed", r#"href="/runs/r1""#, "runs@7"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("checkbox") && !page.contains("value=\"cancel\""), "{page}");
    }

    #[test]
    fn actions_are_for_those_who_may() {
        let own = RunLine { may_act: true, ..line("r1") };
        let page =
            drawn(&RunsPage { csrf: Some("word".to_owned()), ..model(vec![own, line("r2")]) });
        assert_eq!(page.matches("type=\"checkbox\"").count(), 1, "{page}");
        assert!(page.contains("value=\"cancel\"") && page.contains("value=\"word\""));
    }

    #[test]
    fn empty_lists_teach_or_offer_the_way_back() {
        assert!(drawn(&model(Vec::new())).contains("plue repo add"));
        let filter = Filter { branch: "x".to_owned(), ..Filter::default() };
        let page = drawn(&RunsPage { filter, ..model(Vec::new()) });
        assert!(page.contains("Show all runs") && !page.contains("plue repo add"), "{page}");
    }

    #[test]
    fn hostile_rows_stay_text_and_short() {
        let evil = "<img src=x onerror=alert(1)>\u{202e}".repeat(20_000);
        let hostile = RunLine {
            workflow: evil.clone(),
            title: Some(evil.clone()),
            reason: Some(evil.clone()),
            cause: Cause {
                event: evil.clone(),
                actor: Some(evil.clone()),
                repo: Some(evil.clone()),
                branch: Some(evil.clone()),
                sha: Some(evil),
            },
            ..line("r1")
        };
        let page = drawn(&model(vec![hostile]));
        assert!(!page.contains("<img") && !page.contains('\u{202e}'), "{page:.2000}");
        assert!(page.len() < 30_000, "{}", page.len());
    }

    #[test]
    fn pages_keep_their_filter() {
        let filter =
            Filter { state: "failed".to_owned(), branch: "a&b".to_owned(), ..Filter::default() };
        let page =
            drawn(&RunsPage { filter, older: Some("r9".to_owned()), ..model(vec![line("r1")]) });
        assert!(page.contains("/runs?branch=a%26b&amp;state=failed&amp;before=r9"), "{page}");
    }
}
