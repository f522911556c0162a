//! The page of a Claude step's conversation, read from the facts of its transcript.

use std::collections::HashMap;

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use plue_dashboard::{
    agent::{self, AgentPage, Answer, Call, Content, Entry, Part, Search, Task, Totals},
    shell::Page,
    ui::Tone,
};
use plue_plan::{AttemptId, Step, action::Action};
use plue_store::{TranscriptId as _, TranscriptRow};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{log::head_of, reader::Reader};
use crate::{
    access::Principal,
    extract::Query,
    problem::Problem,
    records::transcript::AgentRecord,
    routes::logs::{AttemptPath, attempt_of},
    server::Api,
};

/// Facts of one page, and read at once.
const MAX_FACTS: usize = 200;
const BATCH: u32 = 16;
/// Bytes of facts of one page, about.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Facts that a search looks through, and matches that it shows.
const SEARCHED: usize = 2_000;
const MAX_HITS: usize = 50;
/// Bytes around a match.
const AROUND: usize = 80;
/// Picodollars of a dollar.
const DOLLAR: f64 = 1e12;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    from: Option<u64>,
    q: Option<String>,
}

/// `GET /runs/RUN/attempts/ATTEMPT/agent`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path(path): Path<AttemptPath>,
    asked: Result<Query<Asked>, Problem>,
) -> Response {
    let page = match asked {
        Ok(Query(asked)) => load(&api, &reader.who, &path, asked).await,
        Err(problem) => Err(problem),
    };
    reader.answer(page)
}

async fn load(
    api: &Api,
    who: &Principal,
    path: &AttemptPath,
    asked: Asked,
) -> Result<Page, Problem> {
    // An agent that another one started is seen by the readers of its attempt.
    let transcript = AttemptId::new(path.attempt.clone());
    let path = AttemptPath { attempt: transcript.attempt().as_str().to_owned(), ..path.clone() };
    let row = attempt_of(api, who, &path).await?;
    let (head, step) = head_of(api, &row).await?;
    let store = api.store();
    let mut agents = Vec::new();
    for id in store.transcripts().agents_of(&row.run, &row.claim.attempt).await? {
        let first = store.transcripts().after(&id, 0, 1).await?.into_iter().next();
        agents.push((id.to_string(), AgentRecord::of(&id, first).name));
    }
    let from = asked.from.unwrap_or(0);
    let mut talk = Talk::default();
    let (mut last, mut bytes, mut next) = (0, 0, None);
    'facts: loop {
        let rows = store.transcripts().after(&transcript, last, BATCH).await?;
        let is_last = rows.len() < BATCH as usize;
        for fact in rows {
            if talk.entries.len() >= MAX_FACTS || bytes >= MAX_BYTES {
                next = Some(last);
                break 'facts;
            }
            last = fact.seq;
            if fact.seq > from {
                bytes += fact.fact.to_string().len();
            }
            talk.take(&fact, from);
        }
        if is_last {
            break;
        }
    }
    let search = match asked.q.filter(|text| !text.is_empty()) {
        Some(text) => Some(searched(api, &transcript, text).await?),
        None => None,
    };
    talk.totals.budget = step.as_ref().and_then(budget);
    let live = (!row.state.is_terminal()).then_some(row.log_reach);
    Ok(agent::page(&AgentPage {
        head,
        task: talk.task.filter(|_| from == 0),
        entries: talk.entries,
        totals: talk.totals,
        agents,
        search,
        next,
        from,
        live,
    }))
}

fn budget(step: &Step) -> Option<f64> {
    match &step.action {
        Action::Llm(llm) => llm.budget.as_ref()?.usd,
        _ => None,
    }
}

async fn searched(api: &Api, agent: &AttemptId, text: String) -> Result<Search, Problem> {
    let (mut hits, mut last, mut facts) = (Vec::new(), 0, 0);
    loop {
        let rows = api.store().transcripts().after(agent, last, BATCH).await?;
        let is_last = rows.len() < BATCH as usize;
        for row in rows {
            (last, facts) = (row.seq, facts + 1);
            if row.contains(&text) {
                hits.push((row.seq, around(&row.fact, &text)));
            }
        }
        let more = hits.len() >= MAX_HITS || facts >= SEARCHED;
        if is_last || more {
            return Ok(Search { text, hits, more: more && !is_last });
        }
    }
}

/// The text around the first place of a text in a fact.
fn around(fact: &Json, text: &str) -> String {
    let mut found = None;
    strings(fact, &mut |value| {
        if found.is_none() && value.contains(text) {
            found = Some(value.to_owned());
        }
    });
    let whole = found.unwrap_or_default();
    let at = whole.find(text).unwrap_or(0);
    let start = whole[..at].char_indices().rev().nth(AROUND).map_or(0, |(at, _)| at);
    whole[start..].chars().take(2 * AROUND + text.chars().count()).collect()
}

fn strings(value: &Json, visit: &mut impl FnMut(&str)) {
    match value {
        Json::String(text) => visit(text),
        Json::Array(items) => items.iter().for_each(|item| strings(item, visit)),
        Json::Object(fields) => fields.values().for_each(|item| strings(item, visit)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// A conversation as far as it was read.
#[derive(Debug, Default)]
struct Talk {
    task: Option<Task>,
    entries: Vec<Entry>,
    totals: Totals,
    /// Entry and part of each call, and the time of its answer.
    calls: HashMap<String, (usize, usize, Timestamp)>,
}

impl Talk {
    /// Takes in a fact; one up to `from` only for the sums.
    fn take(&mut self, row: &TranscriptRow, from: u64) {
        let fact = &row.fact;
        let text = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
        let content = match fact["fact"].as_str().unwrap_or_default() {
            "started" => {
                self.totals.max_turns = number(&fact["task"]["limits"]["turns"]).try_into().ok();
                self.task = Some(task(&fact["task"]));
                return;
            }
            "answered" => Content::Answer(self.answer(fact)),
            "result" => {
                let is_error = fact["is_error"].as_bool().unwrap_or(false);
                self.result(&text("id"), text("content"), is_error, row.at);
                return;
            }
            "broke" => notice(Tone::Wait, "The answer broke off", text("message")),
            "switched" => {
                notice(Tone::Wait, &format!("{} continues", text("model")), text("message"))
            }
            "corrected" => notice(Tone::Idle, "Correction sent to the model", text("message")),
            "run_started" => {
                let run = fact["run"]["run"].as_str().unwrap_or_default();
                notice(Tone::Idle, "A call started a run", run.to_owned())
            }
            "held" => notice(Tone::Wait, "A call waits for approval", text("id")),
            "decided" => {
                let is_yes = fact["approve"].as_bool().unwrap_or(false);
                let word = if is_yes { "approved" } else { "rejected" };
                let by = fact["by"].as_str().map_or("the time limit", |by| by);
                let tone = if is_yes { Tone::Good } else { Tone::Bad };
                notice(tone, &format!("A call was {word} by {by}"), text("message"))
            }
            "ended" => ended(&fact["end"]),
            other => notice(Tone::Idle, other, String::new()),
        };
        if row.seq <= from {
            return;
        }
        if let Content::Answer(answer) = &content {
            for (at, part) in answer.parts.iter().enumerate() {
                if let Part::Call(call) = part {
                    self.calls.insert(call.id.clone(), (self.entries.len(), at, row.at));
                }
            }
        }
        self.entries.push(Entry { seq: row.seq, at: row.at, content });
    }

    fn answer(&mut self, fact: &Json) -> Answer {
        let (answer, usage) = (&fact["answer"], &fact["answer"]["usage"]);
        let cached = number(&usage["cache_read_input_tokens"]);
        let fresh = number(&usage["input_tokens"]) + number(&usage["cache_creation_input_tokens"]);
        let output = number(&usage["output_tokens"]);
        let usd = fact["cost"].as_u64().map(|cost| cost as f64 / DOLLAR);
        self.totals.turns += 1;
        self.totals.input += fresh;
        self.totals.cached += cached;
        self.totals.output += output;
        self.totals.usd += usd.unwrap_or(0.0);
        let stop = answer["stop"]["reason"].as_str().unwrap_or_default();
        let is_usual = matches!(stop, "" | "end_turn" | "tool_use");
        let parts = answer["content"].as_array().into_iter().flatten().filter_map(part);
        Answer {
            turn: self.totals.turns,
            id: answer["id"].as_str().unwrap_or_default().to_owned(),
            model: answer["model"].as_str().unwrap_or_default().to_owned(),
            parts: parts.collect(),
            tokens: (fresh + cached, output),
            usd,
            stop: (!is_usual).then(|| stop.replace('_', " ")),
        }
    }

    fn result(&mut self, id: &str, content: String, is_error: bool, at: Timestamp) {
        let Some((entry, part, asked)) = self.calls.get(id) else { return };
        let Some(entry) = self.entries.get_mut(*entry) else { return };
        if let Content::Answer(answer) = &mut entry.content
            && let Some(Part::Call(call)) = answer.parts.get_mut(*part)
        {
            call.output = Some((content, is_error));
            call.took = Some(at.as_millisecond() - asked.as_millisecond());
        }
    }
}

fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn task(task: &Json) -> Task {
    let text = |name: &str| task[name].as_str().map(str::to_owned);
    let tools = task["tools"].as_array().into_iter().flatten();
    Task {
        model: text("model").unwrap_or_default(),
        tools: tools.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect(),
        system: text("system"),
        prompt: text("prompt").unwrap_or_default(),
    }
}

fn part(block: &Json) -> Option<Part> {
    let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
    let is_blank = |text: &String| text.trim().is_empty();
    match block["type"].as_str()? {
        "text" => Some(text("text")).filter(|text| !is_blank(text)).map(Part::Text),
        "thinking" => Some(text("thinking")).filter(|text| !is_blank(text)).map(Part::Thinking),
        "tool_use" => Some(Part::Call(Call {
            id: text("id"),
            tool: text("name"),
            input: input(&block["input"]),
            ..Call::default()
        })),
        _ => None,
    }
}

/// The input of a call: the only text of it, or the document.
fn input(input: &Json) -> String {
    let only = input.as_object().filter(|fields| fields.len() == 1);
    let only = only.and_then(|fields| fields.values().next()?.as_str());
    match only {
        Some(text) => text.to_owned(),
        None => serde_json::to_string_pretty(input).unwrap_or_default(),
    }
}

fn notice(tone: Tone, title: &str, text: String) -> Content {
    Content::Notice(tone, title.to_owned(), text)
}

fn ended(end: &Json) -> Content {
    let message = end["message"].as_str().unwrap_or_default().to_owned();
    let reason = end["reason"].as_str().unwrap_or_default();
    let title = match reason {
        "done" => return notice(Tone::Good, "Done", message),
        "turns" => "Stopped: no turns are left",
        "tokens" => "Stopped: no tokens are left",
        "budget" => "Stopped: the budget is spent",
        "loop" => "Stopped: it repeated itself",
        "refusal" => "The model refused",
        "cut" => "The answer was cut off",
        "context" => "The conversation is too long for the model",
        "api" => "Claude could not be reached",
        "output" => "The output does not fit its schema",
        "key" => "There is no key for Claude",
        other => other,
    };
    notice(Tone::Bad, title, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(seq: u64, ms: i64, fact: Json) -> TranscriptRow {
        TranscriptRow { seq, at: Timestamp::from_millisecond(ms).unwrap(), fact }
    }

    #[test]
    fn facts_become_a_conversation() {
        let mut talk = Talk::default();
        let call =
            json!({"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}});
        let usage = json!({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5});
        let answer = json!({"id": "msg_1", "model": "m", "content": [{"type": "text", "text": "Hi"}, call],
            "stop": {"reason": "tool_use"}, "usage": usage});
        for (seq, fact) in (1..).zip([
            json!({"fact": "started", "task": {"model": "m", "prompt": "Go", "limits": {"turns": 8}}}),
            json!({"fact": "answered", "answer": answer, "cost": 2_000_000_000_000_u64}),
            json!({"fact": "result", "id": "t1", "content": "a.txt"}),
            json!({"fact": "ended", "end": {"reason": "budget", "message": "spent"}}),
        ]) {
            talk.take(&row(seq, i64::try_from(seq).unwrap() * 1_000, fact), 0);
        }
        assert_eq!(talk.totals.max_turns, Some(8));
        assert_eq!((talk.totals.input, talk.totals.cached, talk.totals.output), (10, 90, 5));
        assert!((talk.totals.usd - 2.0).abs() < 1e-9);
        let [first, last] = &talk.entries[..] else { panic!("{:?}", talk.entries) };
        let Content::Answer(answer) = &first.content else { panic!("{first:?}") };
        let Part::Call(call) = &answer.parts[1] else { panic!("{answer:?}") };
        assert_eq!((call.input.as_str(), call.took), ("ls", Some(1_000)));
        assert_eq!(call.output, Some(("a.txt".to_owned(), false)));
        let title = "Stopped: the budget is spent";
        assert_eq!(last.content, notice(Tone::Bad, title, "spent".to_owned()));
    }

    #[test]
    fn matches_show_what_is_around_them() {
        let fact = json!({"a": ["no", format!("{}needle{}", "é".repeat(200), "z".repeat(200))]});
        let shown = around(&fact, "needle");
        assert!(shown.contains("needle") && shown.chars().count() <= 2 * AROUND + 7, "{shown}");
    }
}
