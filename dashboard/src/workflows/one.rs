//! The page of a workflow: its picture, its triggers, its history, and the form that starts it.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    address,
    stats::{self, Bar},
};
use crate::{
    ops::{schedules::Pause, tile, usage::share},
    shell::{Page, Section},
    ui::{
        Tone, counted,
        fields::Field,
        form::{self, Action},
        notice, text, time,
    },
};

mod steps;

pub use steps::StepLine;

/// Characters of a prompt that is shown.
const MAX_PROMPT: usize = 8_000;
/// Prompts that are shown.
const MAX_PROMPTS: usize = 50;

/// The page of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowPage {
    /// Identity of the workflow.
    pub head: Head,
    /// Triggers, each with its next times if it is a schedule.
    pub triggers: Vec<(String, Vec<Timestamp>)>,
    /// Pauses of the workflow and of its schedules.
    pub pauses: [Option<Pause>; 2],
    /// Last runs, the newest first.
    pub runs: Vec<Bar>,
    /// Numbers of its steps over these runs.
    pub steps: Vec<StepLine>,
    /// Requests of its steps to models.
    pub prompts: Vec<Prompt>,
    /// Form that starts a run; none: the reader may not.
    pub start: Option<Start>,
    /// Whether the reader may pause and resume it.
    pub may_pause: bool,
    /// Message about the last action.
    pub done: Option<(Tone, String)>,
    /// The session's word, for the forms of the page.
    pub csrf: String,
    /// Time of the page.
    pub now: Timestamp,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// Identity of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// `owner/name` of its repository.
    pub repo: String,
    /// Name of its plan.
    pub name: String,
    /// Path of its workflow file.
    pub file: String,
    /// Commit that it was read from.
    pub commit: String,
    /// Purpose of the plan.
    pub goal: Option<String>,
    /// Hash of the plan.
    pub plan: String,
    /// Number of its steps.
    pub steps: usize,
    /// Secrets, hosts and tools that it reaches.
    pub reaches: Vec<String>,
}

/// A request to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Step of the request.
    pub step: String,
    /// Model or role that answers.
    pub model: Option<String>,
    /// Name of its prompt file.
    pub file: Option<String>,
    /// Text or inputs, as the plan has them.
    pub text: String,
}

/// Form that starts a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Start {
    /// Fields of its inputs.
    pub fields: Vec<Field>,
    /// Branch, tag or commit that was entered.
    pub rev: String,
    /// Reason for which it was refused.
    pub refused: Option<String>,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &WorkflowPage) -> Page {
    let head = &model.head;
    let own = address(&head.repo, &head.name);
    let body = html! {
        nav.crumbs aria-label="Path" { a href="/workflows" { "Workflows" } " / " (text::name(&head.repo)) }
        div.head {
            h1 { (text::name(&head.name)) }
            div.actions {
                a.button href=(runs_address(head)) { "All runs" }
                @if model.may_pause { (pause_action(model, &own)) }
            }
        }
        @if let Some((tone, message)) = &model.done { (notice(*tone, &html! { p { (message) } })) }
        (paused(model))
        @if let Some(goal) = &head.goal { (text::paragraph(goal)) }
        div.two {
            div.two-main {
                (numbers(model))
                section aria-labelledby="plan" {
                    h2 #plan { "Plan" }
                    (picture(head, &own))
                }
                @if !model.steps.is_empty() { (steps::section(&model.steps)) }
                @if !model.prompts.is_empty() { (prompts(&model.prompts)) }
            }
            aside.two-side {
                @if let Some(start) = &model.start { (start_form(start, head, &own, &model.csrf)) }
                (triggers(model))
                (facts(head))
            }
        }
    };
    Page::new(head.name.clone(), body).section(Section::Workflows).follow("runs", model.seq)
}

fn runs_address(head: &Head) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("repo", &head.repo).append_pair("workflow", &head.name);
    format!("/runs?{}", query.finish())
}

fn paused(model: &WorkflowPage) -> Markup {
    html! {
        @for (pause, what) in model.pauses.iter().zip(["No event, schedule or person starts it", "Its schedules do not start it"]) {
            @if let Some(pause) = pause {
                (notice(Tone::Wait, &html! { p { (what) ". " (pause.words()) } }))
            }
        }
    }
}

fn pause_action(model: &WorkflowPage, own: &str) -> Markup {
    let head = &model.head;
    if model.pauses.first().is_some_and(Option::is_some) {
        let fields = [
            ("repo", head.repo.as_str()),
            ("workflow", &head.name),
            ("scope", "workflow"),
            ("back", own),
        ];
        let resume = Action {
            path: "/workflows/resume",
            label: "Resume",
            class: "primary",
            fields: &fields,
            confirm: "",
        };
        return resume.render(&model.csrf);
    }
    html! {
        details.menu {
            summary.button { "Pause" }
            form.stack.menu-body method="post" action="/workflows/pause" {
                (form::hidden("csrf", &model.csrf)) (form::hidden("repo", &head.repo))
                (form::hidden("workflow", &head.name)) (form::hidden("scope", "workflow")) (form::hidden("back", own))
                label for="pause-reason" { "Reason" }
                input #pause-reason name="reason" maxlength="500" autocomplete="off";
                button.primary { "Pause the workflow" }
            }
        }
    }
}

fn numbers(model: &WorkflowPage) -> Markup {
    let numbers = stats::numbers(&model.runs);
    let took = |ms: Option<i64>| html! { (ms.map_or_else(|| "–".to_owned(), time::took)) };
    html! {
        section aria-labelledby="history" {
            h2 #history { "History" }
            @if model.runs.is_empty() {
                p.muted { "It has not run yet." }
            } @else {
                div.tiles {
                    (tile("Passed", &html! { (share(numbers.passed, numbers.ended)) }))
                    (tile("Median duration", &took(numbers.p50_ms)))
                    (tile("95th percentile", &took(numbers.p95_ms)))
                }
                div.card.history {
                    (stats::sparkline(&model.runs, model.now))
                    p.muted { (span(model.runs.len())) }
                }
            }
        }
    }
}

/// The runs behind the picture and behind the numbers.
fn span(runs: usize) -> String {
    match runs {
        1 => "One run so far.".to_owned(),
        ..=stats::MAX_BARS => format!("The last {runs} runs, the newest at the right."),
        _ => {
            let bars = stats::MAX_BARS;
            format!(
                "The last {bars} runs, the newest at the right; the numbers are of the last {runs}."
            )
        }
    }
}

fn picture(head: &Head, own: &str) -> Markup {
    html! {
        div.card.plan-picture tabindex="0" role="region" aria-label="Picture of the plan" {
            img src={ (own) "/plan.svg?plan=" (super::segment(&head.plan)) } loading="lazy"
                alt={ "The plan of " (text::bounded(&head.name, text::NAME)) " with " (counted(head.steps, "step")) };
        }
    }
}

fn prompts(prompts: &[Prompt]) -> Markup {
    html! {
        section aria-labelledby="prompts" {
            h2 #prompts { "Prompts" }
            @for prompt in prompts.iter().take(MAX_PROMPTS) {
                details.card.fold {
                    summary {
                        (text::name(&prompt.step))
                        @if let Some(file) = &prompt.file { " " span.muted { "prompt " (text::code(file)) } }
                        @if let Some(model) = &prompt.model { " " span.muted { "by " (text::name(model)) } }
                    }
                    pre.log-end tabindex="0" role="region" aria-label={ "Prompt of " (text::bounded(&prompt.step, text::NAME)) } {
                        (lines(&prompt.text))
                    }
                }
            }
        }
    }
}

/// A text with its line ends, without what hides or reorders others.
fn lines(text: &str) -> String {
    let cut: String = text.chars().take(MAX_PROMPT).collect();
    let lines: Vec<String> = cut.lines().map(|line| text::bounded(line, MAX_PROMPT)).collect();
    lines.join("\n")
}

fn start_form(start: &Start, head: &Head, own: &str, csrf: &str) -> Markup {
    html! {
        section.card aria-labelledby="start" {
            h2 #start { "Run it" }
            @if let Some(reason) = &start.refused { (notice(Tone::Bad, &html! { (text::paragraph(reason)) })) }
            // Typed text must survive when the page follows a change.
            form.stack #start-form data-keep method="post" action={ (own) "/run" } {
                (form::hidden("csrf", csrf))
                (Field::draw(&start.fields, "input"))
                div.field {
                    label for="start-rev" { "Branch, tag or commit" span.optional { "optional" } }
                    input #start-rev name="rev" value=(start.rev) placeholder="default branch" autocomplete="off";
                }
                button.primary { "Run " (text::name(&head.name)) }
            }
        }
    }
}

fn triggers(model: &WorkflowPage) -> Markup {
    html! {
        section.card aria-labelledby="triggers" {
            h2 #triggers { "Triggers" }
            @if model.triggers.is_empty() { p.muted { "None: a person or another workflow starts it." } }
            ul.plain-list {
                @for (words, next) in &model.triggers {
                    li {
                        (text::code(words))
                        @if !next.is_empty() {
                            ol.ticks aria-label="Next times" { @for tick in next { li { (time::when(*tick)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn facts(head: &Head) -> Markup {
    html! {
        section.card aria-labelledby="facts" {
            h2 #facts { "About" }
            dl.facts {
                dt { "File" } dd { (text::code(&head.file)) }
                dt { "Commit" } dd { (text::hash(&head.commit)) }
                dt { "Plan" } dd { (text::hash(&head.plan)) }
                dt { "Steps" } dd { (head.steps) }
            }
            @if !head.reaches.is_empty() {
                h3.reaches { "Reaches" }
                ul.plain-list { @for what in head.reaches.iter().take(100) { li { (text::name(what)) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        ops::tests::{evil, harmless},
        state::State,
        workflows::tests::bar,
    };

    fn model(text: &str) -> WorkflowPage {
        let zero = Timestamp::UNIX_EPOCH;
        let fields = Field::of_schema(&json!({"properties": {"env": {"enum": ["prod"]}}}));
        WorkflowPage {
            head: Head {
                repo: text.to_owned(),
                name: text.to_owned(),
                file: text.to_owned(),
                commit: text.to_owned(),
                goal: Some(text.to_owned()),
                plan: "sha256:abc".to_owned(),
                steps: 3,
                reaches: vec![text.to_owned()],
            },
            triggers: vec![(text.to_owned(), vec![zero; 5])],
            pauses: [None, None],
            runs: vec![bar("r1", State::Success)],
            steps: Vec::new(),
            prompts: vec![Prompt {
                step: text.to_owned(),
                model: Some(text.to_owned()),
                file: Some(text.to_owned()),
                text: text.to_owned(),
            }],
            start: Some(Start { fields, refused: Some(text.to_owned()), rev: String::new() }),
            may_pause: true,
            done: None,
            csrf: "word".to_owned(),
            now: zero,
            seq: 9,
        }
    }

    #[test]
    fn workflows_show_picture_triggers_and_form() {
        let page = harmless(&page(&model("a/b")));
        for part in [
            "/workflows/a%2Fb/a%2Fb/plan.svg?plan=sha256%3Aabc",
            "/workflows/a%2Fb/a%2Fb/run",
            "field.env",
            "/workflows/pause",
            "100 %",
            "/runs?repo=a%2Fb&amp;workflow=a%2Fb",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(page.matches("<time").count() >= 5, "{page}");
    }

    #[test]
    fn readers_see_no_form() {
        let model = WorkflowPage { start: None, may_pause: false, ..model("a") };
        let page = harmless(&page(&model));
        assert!(!page.contains("/run\"") && !page.contains("/workflows/pause"), "{page}");
    }

    #[test]
    fn paused_workflows_show_it_and_are_resumed() {
        let pause = Pause { by: "ada".to_owned(), since: Timestamp::UNIX_EPOCH, reason: None };
        let model = WorkflowPage { pauses: [Some(pause), None], ..model("a") };
        let page = harmless(&page(&model));
        assert!(page.contains("/workflows/resume") && page.contains("No event"), "{page}");
    }

    #[test]
    fn hostile_workflows_stay_text() {
        harmless(&page(&model(&evil()[..2_000])));
    }
}
