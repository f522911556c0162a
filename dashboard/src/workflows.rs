//! Workflows at the heads of default branches: the list, and the page of one.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    ops::{schedules::Pause, usage::share},
    shell::{Page, Section},
    state::State,
    ui::{self, text, time},
};

pub mod one;
pub mod stats;

use stats::Bar;

/// Workflows of a page.
pub const MAX_WORKFLOWS: usize = 100;

/// The list of workflows.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowsPage {
    /// Workflows by repository and name, at most [`MAX_WORKFLOWS`].
    pub lines: Vec<Line>,
    /// Text that is searched for.
    pub search: String,
    /// Number of the next page.
    pub next: Option<usize>,
    /// Whether any workflow is known.
    pub has_any: bool,
    /// Time of the page.
    pub now: Timestamp,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// A workflow of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `owner/name` of its repository.
    pub repo: String,
    /// Name of its plan.
    pub name: String,
    /// Path of its workflow file.
    pub file: String,
    /// Its triggers in words.
    pub triggers: Vec<String>,
    /// The pause in force.
    pub paused: Option<Pause>,
    /// Its last runs, the newest first.
    pub runs: Vec<Bar>,
}

/// Address of the page of a workflow.
#[must_use]
pub fn address(repo: &str, name: &str) -> String {
    format!("/workflows/{}/{}", segment(repo), segment(name))
}

/// A text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    // In a path `+` is itself, and a segment of dots would be resolved by browsers.
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    match encoded.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encoded.replace('+', "%20"),
    }
}

/// The page of the view model.
#[must_use]
pub fn page(model: &WorkflowsPage) -> Page {
    let body = html! {
        div.head { h1 { "Workflows" } (ui::help("language")) }
        @if model.has_any {
            form.filters method="get" action="/workflows" role="search" {
                input type="search" name="q" value=(model.search) placeholder="Search workflows and repositories"
                    aria-label="Search workflows" data-filter;
                button { "Search" }
            }
        }
        @if model.lines.is_empty() {
            div.card { (nothing(model)) }
        } @else { (groups(model)) }
        @if let Some(next) = model.next {
            nav.pager aria-label="Pages" { a.button rel="next" href=(list_address(&model.search, next)) { "More →" } }
        }
    };
    Page::new("Workflows", body).section(Section::Workflows).follow("runs", model.seq)
}

fn list_address(search: &str, page: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if !search.is_empty() {
        query.append_pair("q", search);
    }
    query.append_pair("page", &page.to_string());
    format!("/workflows?{}", query.finish())
}

fn nothing(model: &WorkflowsPage) -> Markup {
    match model.has_any {
        true => html! {
            div.empty {
                h2 { "No workflow has this text" }
                p { a.button href="/workflows" { "Show all workflows" } }
            }
        },
        false => ui::empty(
            "No workflow is known yet",
            "A workflow is a file `.plue.py` or `.plue/NAME.py` on the default branch of a watched repository. \
             Make one, push it, and it appears here:",
            &["plue init", "plue repo add owner/name --forge github --url https://…"],
        ),
    }
}

fn groups(model: &WorkflowsPage) -> Markup {
    html! {
        @for group in model.lines.chunk_by(|one, other| one.repo == other.repo) {
            @if let Some(first) = group.first() {
                section.group aria-label=(text::bounded(&first.repo, text::NAME)) {
                    h2 { (text::name(&first.repo)) }
                    ol.card.flush.flows { @for line in group { (draw(line, model.now)) } }
                }
            }
        }
    }
}

fn draw(line: &Line, now: Timestamp) -> Markup {
    let last = line.runs.first();
    let numbers = stats::numbers(&line.runs);
    html! {
        li.flow {
            div.flow-main {
                div.runs-title {
                    (last.map_or(State::Pending, |bar| bar.state).icon())
                    a.runs-link href=(address(&line.repo, &line.name)) data-row { (text::name(&line.name)) }
                    @if line.paused.is_some() { span.mark.wait { "paused" } }
                }
                div.runs-sub {
                    span { (text::code(&line.file)) }
                    @for trigger in line.triggers.iter().take(6) { span.branch { (text::name(trigger)) } }
                }
            }
            (stats::sparkline(&line.runs, now))
            div.flow-numbers {
                @if numbers.ended > 0 {
                    span { (share(numbers.passed, numbers.ended)) " passed" }
                    @if let Some(ms) = numbers.p50_ms { span.muted { "p50 " (time::took(ms)) } }
                } @else { span.muted { "no run ended" } }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    pub(crate) fn bar(id: &str, state: State) -> Bar {
        let zero = Timestamp::UNIX_EPOCH;
        let end = Timestamp::from_second(60).unwrap();
        Bar { run: id.to_owned(), state, created: zero, started: Some(zero), ended: Some(end) }
    }

    fn line(text: &str) -> Line {
        Line {
            repo: text.to_owned(),
            name: text.to_owned(),
            file: text.to_owned(),
            triggers: vec![text.to_owned()],
            paused: None,
            runs: vec![bar("r2", State::Failed), bar("r1", State::Success)],
        }
    }

    fn drawn(lines: Vec<Line>, has_any: bool) -> String {
        let (search, now) = ("a&b".to_owned(), Timestamp::UNIX_EPOCH);
        let model = WorkflowsPage { lines, search, next: Some(2), has_any, now, seq: 4 };
        harmless(&page(&model))
    }

    #[test]
    fn workflows_show_their_last_runs_and_numbers() {
        let page = drawn(vec![line("acme/app")], true);
        for part in ["50 % passed", "p50 1m 0s", "/workflows/acme%2Fapp/acme%2Fapp", "runs@4"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(page.contains("/workflows?q=a%26b&amp;page=2"), "{page}");
    }

    #[test]
    fn addresses_are_one_segment_for_each_name() {
        for (name, wanted) in
            [("CI nightly", "CI%20nightly"), ("..", "%2E%2E"), ("a+b/c?", "a%2Bb%2Fc%3F")]
        {
            assert_eq!(segment(name), wanted);
        }
    }

    #[test]
    fn hostile_workflows_stay_text() {
        drawn(vec![line(&evil()[..2_000])], true);
    }

    #[test]
    fn empty_lists_teach() {
        assert!(drawn(Vec::new(), false).contains("plue init"));
        assert!(drawn(Vec::new(), true).contains("Show all workflows"));
    }
}
