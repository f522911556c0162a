//! Outgoing webhooks and the messages to one of them.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    ops::{Frame, Tab},
    shell::Page,
    ui::{self, Tone, form::Action, notice, text, time},
};

/// An outgoing webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Id, part of the address of its page.
    pub id: String,
    /// Address that messages are posted to.
    pub url: String,
    /// Events that it is sent.
    pub events: Vec<String>,
    /// Repository of the events; none: all.
    pub repo: Option<String>,
    /// Purpose in the words of its author.
    pub description: String,
    /// Time since which no message came through.
    pub failing: Option<Timestamp>,
    /// Time since which nothing is sent, and the reason.
    pub disabled: Option<(Timestamp, String)>,
}

/// The page of a webhook's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagesPage {
    /// The webhook that the messages go to.
    pub webhook: Outgoing,
    /// Messages, the newest first.
    pub messages: Vec<Message>,
    /// Cursor behind which the next page begins.
    pub older: Option<String>,
    /// Whether the reader may send messages again.
    pub may_act: bool,
}

/// A message to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Id of the message.
    pub id: String,
    /// Event that it is about.
    pub event: String,
    /// Run that it is about.
    pub run: Option<String>,
    /// `open`, `delivered` or `failed`.
    pub state: String,
    /// Tries since it was made or replayed.
    pub tries: u32,
    /// Time of its creation, and of the next try.
    pub times: (Timestamp, Option<Timestamp>),
    /// HTTP status of the last answer.
    pub status: Option<u16>,
    /// Beginning of the last answer, or the reason that there was none.
    pub note: Option<String>,
}

/// The list of outgoing webhooks.
pub(super) fn section(outgoing: &[Outgoing]) -> Markup {
    html! {
        section aria-labelledby="outgoing" {
            h2 #outgoing { "Outgoing" }
            @if outgoing.is_empty() {
                div.card { (ui::empty(
                    "No address is notified",
                    "A webhook posts events of runs to an address of yours, signed, and tries again until it is taken.",
                    &["plue webhook add https://hooks.example/plue --event run.ended"],
                )) }
            } @else {
                div.card.flush.scroll {
                    table.lines {
                        thead { tr { th { "Address" } th { "Events" } th { "Of" } th { "State" } } }
                        tbody {
                            @for one in outgoing {
                                tr {
                                    td data-name="Address" {
                                        a href={ "/webhooks/out/" (one.id) } { (text::line(&one.url)) }
                                        @if !one.description.is_empty() { span.sub { (text::line(&one.description)) } }
                                    }
                                    td data-name="Events" { (text::line(&one.events.join(", "))) }
                                    td data-name="Of" {
                                        @match &one.repo {
                                            Some(repo) => { (text::name(repo)) }
                                            None => { span.muted { "all repositories" } }
                                        }
                                    }
                                    td data-name="State" { (state(one)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn state(one: &Outgoing) -> Markup {
    html! {
        @match (&one.disabled, one.failing) {
            (Some(_), _) => { span.mark.bad { "disabled" } }
            (None, Some(since)) => { span.mark.wait { "failing" } span.sub { "since " (time::when(since)) } }
            (None, None) => { span.mark.good { "works" } }
        }
    }
}

/// The page of a webhook's messages.
#[must_use]
pub fn messages(model: &MessagesPage, frame: &Frame) -> Page {
    let webhook = &model.webhook;
    let path = |action: &str| format!("/webhooks/out/{}/{action}", webhook.id);
    let (test, enable) = (path("test"), path("enable"));
    let button = |path, label| Action { path, label, class: "", fields: &[], confirm: "" };
    let content = html! {
        div.head {
            h2 { (text::line(&webhook.url)) }
            (state(webhook))
            div.actions {
                @if model.may_act && webhook.disabled.is_some() { (button(&enable, "Enable").render(&frame.csrf)) }
                @if model.may_act && webhook.disabled.is_none() { (button(&test, "Send a ping").render(&frame.csrf)) }
            }
        }
        @if let Some((since, reason)) = &webhook.disabled {
            (notice(Tone::Bad, &html! { p { "Nothing is sent since " (time::when(*since)) ": " (text::line(reason)) } }))
        }
        @if model.messages.is_empty() {
            div.card { (ui::empty(
                "No message was sent yet",
                "Messages appear here when an event of this webhook happens.",
                &[],
            )) }
        } @else { (table(model, &frame.csrf)) }
        @if let Some(older) = &model.older {
            nav.pager aria-label="Pages" {
                a.button rel="next" href={ "/webhooks/out/" (webhook.id) "?before=" (older) } { "Older →" }
            }
        }
        p { a href="/webhooks" { "All webhooks" } }
    };
    Tab::Webhooks.page(frame, &content)
}

fn table(model: &MessagesPage, csrf: &str) -> Markup {
    let path = format!("/webhooks/out/{}/replay", model.webhook.id);
    html! {
        div.card.flush.scroll {
            table.lines {
                thead { tr { th { "Event" } th { "State" } th { "Answer" } th { "Created" } th { span.hidden { "Actions" } } } }
                tbody {
                    @for one in &model.messages {
                        tr {
                            td data-name="Event" {
                                (text::name(&one.event))
                                @if let Some(run) = &one.run { span.sub { a href={ "/runs/" (run) } { (text::code(run)) } } }
                            }
                            td data-name="State" {
                                span class={ "mark " (tone(&one.state)) } { (text::name(&one.state)) }
                                span.sub {
                                    (ui::counted(one.tries as usize, "time")) " tried"
                                    @if let Some(next) = one.times.1 { ", next " (time::when(next)) }
                                }
                            }
                            td.wide data-name="Answer" {
                                @if let Some(status) = one.status { span.nums { (status) } " " }
                                @if let Some(note) = &one.note { span.muted { (text::line(note)) } }
                            }
                            td data-name="Created" { (time::when(one.times.0)) }
                            td.right {
                                @if model.may_act && model.webhook.disabled.is_none() {
                                    @let fields = [("message", one.id.as_str())];
                                    (Action { path: &path, label: "Send again", class: "", fields: &fields, confirm: "" }.render(csrf))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tone(state: &str) -> &'static str {
    match state {
        "delivered" => "good",
        "failed" => "bad",
        _ => "wait",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn model(text: &str, is_disabled: bool) -> MessagesPage {
        let zero = Timestamp::UNIX_EPOCH;
        MessagesPage {
            webhook: Outgoing {
                id: "w1".to_owned(),
                url: text.to_owned(),
                events: vec![text.to_owned()],
                repo: Some(text.to_owned()),
                description: text.to_owned(),
                failing: Some(zero),
                disabled: is_disabled.then(|| (zero, text.to_owned())),
            },
            messages: vec![Message {
                id: text.to_owned(),
                event: text.to_owned(),
                run: Some("r1".to_owned()),
                state: "failed".to_owned(),
                tries: 3,
                times: (zero, Some(zero)),
                status: Some(502),
                note: Some(text.to_owned()),
            }],
            older: None,
            may_act: true,
        }
    }

    #[test]
    fn disabled_webhooks_send_nothing_again() {
        let works = harmless(&messages(&model("x", false), &Frame::default()));
        for part in ["/webhooks/out/w1/replay", "/webhooks/out/w1/test", "502", "/runs/r1"] {
            assert!(works.contains(part), "{part}: {works}");
        }
        let disabled = harmless(&messages(&model("x", true), &Frame::default()));
        assert!(disabled.contains("/enable") && !disabled.contains("/replay"), "{disabled}");
    }

    #[test]
    fn hostile_messages_stay_text() {
        let model = model(&evil(), true);
        harmless(&messages(&model, &Frame::default()));
        let drawn = section(&[model.webhook]).into_string();
        assert!(!drawn.contains("<script>x") && drawn.len() < 20_000);
    }
}
