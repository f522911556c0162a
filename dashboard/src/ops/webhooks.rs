//! Webhooks in both directions: deliveries of forges with their effect on each workflow, and messages to
//! others.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, Tab};
use crate::{
    shell::Page,
    state::State,
    ui::{self, form::Action, text, time},
};

mod outgoing;

pub use outgoing::{Message, MessagesPage, Outgoing, messages};

/// Workflows that a folded delivery names.
const MAX_NAMED: usize = 3;
/// Workflows of a delivery that are listed.
const MAX_WORKFLOWS: usize = 100;

/// The page of webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhooksPage {
    /// Repositories that the reader may see.
    pub repos: Vec<String>,
    /// The repository of the deliveries; empty: there is none.
    pub repo: String,
    /// Path that its forge posts to, for admins.
    pub hook: Option<String>,
    /// Reason for which deliveries of the repository have no effect.
    pub problem: Option<String>,
    /// Deliveries, the newest first.
    pub deliveries: Vec<Delivery>,
    /// Cursor behind which the next page begins.
    pub older: Option<String>,
    /// Whether the reader may work on a delivery again.
    pub may_retry: bool,
    /// Outgoing webhooks; none: the reader may not see them.
    pub outgoing: Option<Vec<Outgoing>>,
}

/// A delivery and its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its way: `github`, `local`, `schedule`.
    pub source: String,
    /// The sender's id of it.
    pub id: String,
    /// Time of its arrival.
    pub at: Timestamp,
    /// State of the work: `new`, `done`, `ignored` or `failed`.
    pub state: String,
    /// Reason of the state.
    pub note: Option<String>,
    /// Tries that failed for a reason that may pass.
    pub tries: u32,
    /// Time of the next try.
    pub next: Option<Timestamp>,
    /// Effects on workflows with a trigger for its type.
    pub effects: Vec<Effect>,
    /// Workflows without such a trigger.
    pub without_trigger: Vec<String>,
}

/// The effect of a delivery on a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Name of the workflow, or of its file.
    pub workflow: String,
    /// `run`, `skipped`, `held`, `paused`, `refused` or `invalid`.
    pub result: String,
    /// Reason of the result.
    pub reason: Option<String>,
    /// The run that it started, with its state if it is still there.
    pub run: Option<(String, Option<State>)>,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &WebhooksPage, frame: &Frame) -> Page {
    let content = html! {
        section aria-labelledby="deliveries" {
            div.head {
                h2 #deliveries { "Deliveries" }
                @if model.repos.len() > 1 { (choice(model)) }
            }
            @if let Some(hook) = &model.hook {
                p.muted { "The forge posts to " (text::code(hook)) " of this server." }
            }
            @if let Some(problem) = &model.problem {
                (ui::notice(ui::Tone::Bad, &html! { p { (text::line(problem)) } }))
            }
            @if model.deliveries.is_empty() {
                div.card { (nothing(model)) }
            } @else {
                div.deliveries {
                    @for one in &model.deliveries { (draw(one, model, &frame.csrf)) }
                }
            }
            @if let Some(older) = &model.older {
                nav.pager aria-label="Pages" { a.button rel="next" href=(address(&model.repo, Some(older))) { "Older →" } }
            }
        }
        @if let Some(outgoing) = &model.outgoing { (outgoing::section(outgoing)) }
    };
    Tab::Webhooks.page(frame, &content)
}

fn address(repo: &str, older: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("repo", repo).extend_pairs(older.map(|older| ("before", older)));
    format!("/webhooks?{}", query.finish())
}

fn choice(model: &WebhooksPage) -> Markup {
    html! {
        form.row.actions method="get" action="/webhooks" data-auto {
            select name="repo" aria-label="Repository" {
                @for repo in &model.repos {
                    option value=(repo) selected[*repo == model.repo] { (text::bounded(repo, text::NAME)) }
                }
            }
            button { "Show" }
        }
    }
}

fn nothing(model: &WebhooksPage) -> Markup {
    match model.repo.is_empty() {
        true => ui::empty(
            "No repository is watched",
            "A watched repository sends its pushes, pull requests and issues here, and each one shows which \
             workflows it started and why others not.",
            &["plue repo add owner/name --forge github --url https://…"],
        ),
        false => ui::empty(
            "Nothing has arrived from this repository",
            "Push to it. If nothing appears here, check that the forge has this server's webhook and its secret:",
            &["plue repo list"],
        ),
    }
}

fn draw(one: &Delivery, model: &WebhooksPage, csrf: &str) -> Markup {
    let runs: Vec<&Effect> = one.effects.iter().filter(|effect| effect.run.is_some()).collect();
    let is_open = matches!(one.state.as_str(), "failed" | "new");
    let again = one.state == "failed" || one.next.is_some();
    html! {
        details.card.delivery open[is_open] {
            summary {
                span class={ "mark " (tone(&one.state)) } { (word(&one.state)) }
                span.delivery-source { (text::name(&one.source)) }
                span.delivery-what {
                    @if !runs.is_empty() { (started(&runs)) }
                    @else if let Some(note) = one.note.as_deref().and_then(|note| note.lines().next()) { (text::line(note)) }
                    @else if one.effects.is_empty() { "no workflow concerned" }
                    @else { (ui::counted(one.effects.len(), "workflow")) " concerned, none started" }
                }
                span.delivery-at { (time::when(one.at)) }
            }
            div.delivery-body {
                @if one.effects.is_empty() {
                    @if let Some(note) = &one.note { (text::paragraph(note)) }
                }
                @if one.tries > 0 {
                    p.wait {
                        (ui::counted(one.tries as usize, "failed try"))
                        @if let Some(next) = one.next { ", the next " (time::when(next)) }
                    }
                }
                (effects(one))
                @if !one.without_trigger.is_empty() {
                    p.muted {
                        "Without a trigger for this type of event: "
                        @for (at, name) in one.without_trigger.iter().take(MAX_WORKFLOWS).enumerate() {
                            @if at > 0 { ", " } (text::name(name))
                        }
                    }
                }
                div.row {
                    span.muted { "Id " (text::code(&one.id)) }
                    @if again && model.may_retry { (retry(one, model, csrf)) }
                }
            }
        }
    }
}

/// Names of the workflows that a delivery started, with the states of their runs.
fn started(runs: &[&Effect]) -> Markup {
    let more = runs.len().saturating_sub(MAX_NAMED);
    html! {
        @for (at, effect) in runs.iter().take(MAX_NAMED).enumerate() {
            @if at > 0 { ", " }
            @if let Some((_, Some(state))) = &effect.run {
                span class=(state.tone()) title=(state.word()) { (state.glyph()) } " "
            }
            (text::name(&effect.workflow))
        }
        @if more > 0 { " and " (ui::counted(more, "more run")) }
    }
}

fn effects(one: &Delivery) -> Markup {
    if one.effects.is_empty() {
        return html! {};
    }
    html! {
        ul.effects {
            @for effect in one.effects.iter().take(MAX_WORKFLOWS) {
                li {
                    @match &effect.run {
                        Some((run, state)) => {
                            @if let Some(state) = state { (state.icon()) }
                            a href={ "/runs/" (run) } { (text::name(&effect.workflow)) }
                        }
                        None => {
                            span class={ "mark " (effect_tone(&effect.result)) } { (text::name(&effect.result)) }
                            span { (text::name(&effect.workflow)) }
                        }
                    }
                    @if let Some(reason) = &effect.reason { span.muted { (text::line(reason)) } }
                }
            }
        }
    }
}

fn retry(one: &Delivery, model: &WebhooksPage, csrf: &str) -> Markup {
    let action = Action {
        path: "/webhooks/redeliver",
        label: "Work on it again",
        class: "",
        fields: &[("repo", &model.repo), ("delivery", &one.id)],
        confirm: "",
    };
    action.render(csrf)
}

fn tone(state: &str) -> &'static str {
    match state {
        "done" => "good",
        "failed" => "bad",
        "new" => "busy",
        _ => "idle",
    }
}

fn word(state: &str) -> &str {
    match state {
        "done" => "Done",
        "failed" => "Failed",
        "new" => "Waits",
        "ignored" => "Ignored",
        other => other,
    }
}

fn effect_tone(result: &str) -> &'static str {
    match result {
        "invalid" | "refused" => "bad",
        "held" | "paused" => "wait",
        _ => "idle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn delivery(text: &str) -> Delivery {
        let effect = |result: &str, run: Option<(String, Option<State>)>| Effect {
            workflow: text.to_owned(),
            result: result.to_owned(),
            reason: Some(text.to_owned()),
            run,
        };
        Delivery {
            source: "github".to_owned(),
            id: text.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state: "failed".to_owned(),
            note: Some(text.to_owned()),
            tries: 2,
            next: Some(Timestamp::UNIX_EPOCH),
            effects: vec![
                effect("run", Some(("r1".to_owned(), Some(State::Success)))),
                effect("skipped", None),
            ],
            without_trigger: vec![text.to_owned()],
        }
    }

    fn model(text: &str) -> WebhooksPage {
        WebhooksPage {
            repos: vec![text.to_owned(), "acme/web".to_owned()],
            repo: text.to_owned(),
            hook: Some("/hooks/github/x".to_owned()),
            problem: None,
            deliveries: vec![delivery(text)],
            older: Some("9 x".to_owned()),
            may_retry: true,
            outgoing: None,
        }
    }

    #[test]
    fn deliveries_show_their_effect_on_each_workflow() {
        let page = harmless(&page(&model("acme/app"), &Frame::default()));
        for part in [
            "/runs/r1",
            "skipped",
            "2 failed tries",
            "/webhooks/redeliver",
            "repo=acme%2Fapp&amp;before=9+x",
            "Without a trigger",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn readers_without_the_right_see_no_button() {
        let model = WebhooksPage { may_retry: false, ..model("acme/app") };
        assert!(!harmless(&page(&model, &Frame::default())).contains("/webhooks/redeliver"));
    }

    #[test]
    fn hostile_deliveries_stay_text() {
        harmless(&page(&model(&evil()[..2_000]), &Frame::default()));
    }
}
