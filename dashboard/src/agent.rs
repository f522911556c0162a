//! The conversation of a Claude step: what was asked, thought, answered and called, and what it cost.
//!
//! All texts are of a model or of tools: they are shown as text. Links in them stay text, and nothing in
//! them is loaded.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    log::{AttemptHead, Tab, header},
    shell::{Page, Section},
    ui::{self, Tone, text, time},
};

/// Characters of a text of the model.
const ANSWER: usize = 40_000;
/// Characters of the input or the output of a call.
const CALL: usize = 20_000;
/// Lines of a prompt or of reasoning that are shown unfolded.
const FOLDED: usize = 6;

/// The conversation of an attempt.
#[derive(Debug, Clone)]
pub struct AgentPage {
    /// The step and the attempt that hold the conversation.
    pub head: AttemptHead,
    /// The assignment; none: it has not started.
    pub task: Option<Task>,
    /// Entries after the assignment.
    pub entries: Vec<Entry>,
    /// Turns, tokens and cost.
    pub totals: Totals,
    /// Agents that it started: id of the transcript and name.
    pub agents: Vec<(String, String)>,
    /// A search in it.
    pub search: Option<Search>,
    /// Number behind which the next part begins; none: this is the last one.
    pub next: Option<u64>,
    /// Number behind which this part begins.
    pub from: u64,
    /// Number that the stream of the log continues behind; none: the attempt has ended.
    pub live: Option<u64>,
}

/// The assignment of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Model that the step asks for, such as `claude-sonnet-5`.
    pub model: String,
    /// Names of its tools.
    pub tools: Vec<String>,
    /// Rendered system prompt, masked.
    pub system: Option<String>,
    /// Prompt as it was sent, with secrets masked.
    pub prompt: String,
}

/// Sums over a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Answers of the model so far.
    pub turns: u32,
    /// Limit of turns of the step.
    pub max_turns: Option<u32>,
    /// Tokens read, without those of the cache.
    pub input: u64,
    /// Tokens read from the cache.
    pub cached: u64,
    /// Tokens written.
    pub output: u64,
    /// Dollars of answers with a known price.
    pub usd: f64,
    /// Dollars that the step may spend.
    pub budget: Option<f64>,
}

/// An entry of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number in the transcript.
    pub seq: u64,
    /// Time at which it was stored.
    pub at: Timestamp,
    /// An answer, or an event between answers.
    pub content: Content,
}

/// Content of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An answer of the model.
    Answer(Answer),
    /// An event of the conversation: tone, title, text.
    Notice(Tone, String, String),
}

/// An answer of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Number of the turn, from 1.
    pub turn: u32,
    /// Id of the message, for support requests.
    pub id: String,
    /// Model that answered; a fallback differs from the task's.
    pub model: String,
    /// Texts, thinking and calls in the model's order.
    pub parts: Vec<Part>,
    /// Tokens read and written.
    pub tokens: (u64, u64),
    /// Its cost, if known.
    pub usd: Option<f64>,
    /// Reason of its end, unless it is the usual one.
    pub stop: Option<String>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text of the answer; Markdown is not rendered.
    Text(String),
    /// Summary of the model's reasoning.
    Thinking(String),
    /// Call of a tool.
    Call(Call),
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Call {
    /// Id of the call.
    pub id: String,
    /// Name of the tool.
    pub tool: String,
    /// Arguments of the call as JSON, masked.
    pub input: String,
    /// Its output, and whether it failed; none: it has not ended.
    pub output: Option<(String, bool)>,
    /// Milliseconds from the answer to the result.
    pub took: Option<i64>,
}

/// A search of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Text that the reader searches for.
    pub text: String,
    /// Entries with it: number and the text around the first place.
    pub hits: Vec<(u64, String)>,
    /// Whether there may be more.
    pub more: bool,
}

/// The page of a conversation.
#[must_use]
pub fn page(model: &AgentPage) -> Page {
    let head = &model.head;
    let page = Page::new(
        format!("Conversation of {}", head.step),
        html! {
            (header(head, Tab::Agent))
            (totals(model))
            @if let Some(search) = &model.search { (hits(head, search)) }
            @if !model.agents.is_empty() { (agents(head, &model.agents)) }
            div.talk {
                @if let Some(task) = &model.task { (assignment(task)) }
                @else if model.from == 0 { p.empty.muted { "The conversation has not started." } }
                @for entry in &model.entries { (shown(entry)) }
                (parts_of(model))
                @if let (Some(seq), None) = (model.live, model.next) {
                    section #agent-live .turn.live data-keep data-topic=(format!("log:{}:{}", head.run, head.attempt))
                        data-seq=(seq) aria-label="Live output" {
                        p.turn-head { span.pulse aria-hidden="true" {} "Live" }
                        pre #agent-text .prose {}
                    }
                }
            }
        },
    );
    let page = page.section(Section::Runs).state(head.state).style("log.css").module("agent.js");
    page.follow(format!("run:{}", head.run), head.seq)
}

fn totals(model: &AgentPage) -> Markup {
    let sums = &model.totals;
    html! {
        section.card aria-label="Totals" {
            div.facts-row {
                (fact("Turns", &match sums.max_turns {
                    Some(most) => format!("{} of {most}", sums.turns),
                    None => sums.turns.to_string(),
                }))
                (fact("Tokens in", &count(sums.input)))
                (fact("From cache", &count(sums.cached)))
                (fact("Tokens out", &count(sums.output)))
                div.fact {
                    span.fact-name { "Cost" }
                    span.fact-value.nums {
                        (ui::money(sums.usd))
                        @if let Some(budget) = sums.budget { " of " (ui::money(budget)) }
                    }
                    @if let Some(budget) = sums.budget {
                        meter min="0" max="1" low="0.7" high="0.9" optimum="0" aria-label="Share of the budget that is spent"
                            value=(format!("{:.4}", (sums.usd / budget.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0))) {}
                    }
                }
                form.talk-find method="get" role="search" {
                    input type="search" name="q" data-filter placeholder="Search the conversation"
                        aria-label="Search the conversation" maxlength="1000"
                        value=[model.search.as_ref().map(|search| &search.text)];
                }
            }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! {
        div.fact { span.fact-name { (name) } span.fact-value.nums { (value) } }
    }
}

fn count(number: u64) -> String {
    ui::grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

fn hits(head: &AttemptHead, search: &Search) -> Markup {
    html! {
        section.card aria-label="Matches" {
            @if search.hits.is_empty() {
                p.muted { "Nothing in this conversation contains " (text::code(&search.text)) "." }
            } @else {
                p { (ui::counted(search.hits.len(), "entry").replace("entrys", "entries")) @if search.more { " or more" } }
                ul.hits {
                    @for (seq, around) in &search.hits {
                        li {
                            a href=(format!("/runs/{}/attempts/{}/agent?from={}#f{seq}", head.run, head.attempt, seq.saturating_sub(1))) {
                                "#" (seq)
                            }
                            " " (text::line(around))
                        }
                    }
                }
            }
        }
    }
}

fn agents(head: &AttemptHead, agents: &[(String, String)]) -> Markup {
    html! {
        section.card aria-label="Agents" {
            h2 { "Agents that it started" }
            ul {
                @for (id, name) in agents {
                    li { a href=(format!("/runs/{}/attempts/{id}/agent", head.run)) { (text::name(name)) } }
                }
            }
        }
    }
}

fn assignment(task: &Task) -> Markup {
    let tools = if task.tools.is_empty() { "none".to_owned() } else { task.tools.join(", ") };
    html! {
        section.turn.asked aria-label="Assignment" {
            p.turn-head { b { "Assignment" } span.muted { "to " (text::line(&task.model)) } span.muted { "tools: " (text::line(&tools)) } }
            @if let Some(system) = &task.system {
                details.fold { summary { "System prompt" } (prose(system)) }
            }
            (folded(&task.prompt))
        }
    }
}

fn shown(entry: &Entry) -> Markup {
    let id = format!("f{}", entry.seq);
    match &entry.content {
        Content::Answer(answer) => html! {
            section.turn id=(id) aria-label=(format!("Turn {}", answer.turn)) {
                p.turn-head {
                    b { "Turn " (answer.turn) }
                    span.muted { (text::line(&answer.model)) }
                    span.muted.nums { (count(answer.tokens.0)) " in, " (count(answer.tokens.1)) " out" }
                    span.muted.nums { @match answer.usd { Some(usd) => (ui::money(usd)), None => "cost unknown" } }
                    (time::when(entry.at))
                    span.message-id { (text::code(&answer.id)) }
                }
                @for part in &answer.parts { (part_of(part)) }
                @if let Some(stop) = &answer.stop { p.wait { "Ended early: " (text::line(stop)) } }
            }
        },
        Content::Notice(tone, title, body) => html! {
            div id=(id) class={ "notice " (tone.class()) } {
                p { b { (title) } " " (time::when(entry.at)) }
                @if !body.is_empty() { (prose(body)) }
            }
        },
    }
}

fn part_of(part: &Part) -> Markup {
    match part {
        Part::Text(answer) => prose(answer),
        Part::Thinking(thinking) => html! {
            details.fold.thinking { summary { "Thinking" } (prose(thinking)) }
        },
        Part::Call(call) => call_of(call),
    }
}

fn call_of(call: &Call) -> Markup {
    let (class, word) = match &call.output {
        None => ("busy", "running"),
        Some((_, true)) => ("bad", "failed"),
        Some((_, false)) => ("good", "done"),
    };
    let first = call.input.lines().find(|line| line.len() > 2).unwrap_or_default();
    html! {
        details.fold.call {
            summary {
                b { (text::name(&call.tool)) }
                span.call-input { (text::bounded(first.trim(), text::LINE)) }
                span class={ "call-state " (class) } { (word) }
                @if let Some(ms) = call.took { span.muted.nums { (time::took(ms)) } }
            }
            h3 { "Input" }
            pre.sunken { (bounded_lines(&call.input, CALL)) }
            @if let Some((output, is_error)) = &call.output {
                h3 { @if *is_error { "Error" } @else { "Output" } }
                pre.sunken { (bounded_lines(output, CALL)) }
            }
            p.message-id { (text::code(&call.id)) }
        }
    }
}

/// A text that may be long: its first lines, the rest folded.
fn folded(content: &str) -> Markup {
    let mut lines = content.lines();
    let first: Vec<&str> = lines.by_ref().take(FOLDED).collect();
    let rest: Vec<&str> = lines.collect();
    html! {
        (prose(&first.join("\n")))
        @if !rest.is_empty() {
            details.fold { summary { (ui::counted(rest.len(), "more line")) } (prose(&rest.join("\n"))) }
        }
    }
}

fn prose(content: &str) -> Markup {
    html! { p.prose dir="auto" { (bounded_lines(content, ANSWER)) } }
}

/// A text with its line ends and tabs, with escapes in place of characters that act.
fn bounded_lines(content: &str, max: usize) -> String {
    let mut out = String::new();
    let mut left = max;
    for line in content.lines() {
        let plain = text::bounded(&line.replace('\t', "    "), left);
        left = left.saturating_sub(plain.chars().count() + 1);
        out.push_str(&plain);
        if left == 0 {
            out.push('…');
            break;
        }
        out.push('\n');
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

fn parts_of(model: &AgentPage) -> Markup {
    let at = |from: u64| {
        format!("/runs/{}/attempts/{}/agent?from={from}", model.head.run, model.head.attempt)
    };
    html! {
        @if model.from > 0 || model.next.is_some() {
            nav.row aria-label="Parts of the conversation" {
                @if model.from > 0 { a.button href=(at(0)) { "From the start" } }
                @if let Some(next) = model.next { a.button href=(at(next)) { "Next part" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_models_load_nothing() {
        let hostile =
            "![x](https://evil.example/p.png) <img src=//evil.example> [go](https://evil.example)";
        let html = prose(hostile).into_string();
        assert!(!html.contains("<img") && !html.contains("<a "), "{html}");
        assert!(html.contains("https://evil.example"), "the address is shown");
    }

    #[test]
    fn long_texts_are_cut_with_their_lines() {
        assert_eq!(bounded_lines("a\tb\n\nc\u{202e}\n", 100), "a    b\n\nc\\u{202e}");
        let long = bounded_lines(&"line\n".repeat(100_000), 1_000);
        assert!(long.ends_with('…') && long.chars().count() < 1_100, "{}", long.len());
    }

    #[test]
    fn failed_calls_are_marked() {
        let output = Some(("no such file".to_owned(), true));
        let call = Call { tool: "bash".to_owned(), output, took: Some(1_200), ..Call::default() };
        let html = call_of(&call).into_string();
        assert!(html.contains("call-state bad") && html.contains("1.2 s"), "{html}");
    }
}
