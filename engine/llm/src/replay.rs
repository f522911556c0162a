//! Recorded answers of a step, found by the hash of the request, and the first difference where a
//! request was never recorded.
//!
//! Pure. Must not know a run: whose transcripts these are is the caller's business.

use std::collections::{HashMap, VecDeque};

use plue_plan::RunId;
use serde::Serialize;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::{
    agent::{Agent, Decision, Divergence, EndReason, Fact, Input, Task},
    answer::Block,
    price::PicoUsd,
    request::{Message, Request, Role},
};

/// Characters of an excerpt before the first difference.
const BEFORE: usize = 40;
/// Characters of an excerpt.
const EXCERPT: usize = 160;

/// SHA-256 of a request as it would be sent.
type RequestHash = [u8; 32];

/// The transcripts of one step's attempts.
#[derive(Debug, Default)]
pub struct Recording {
    attempts: Vec<Recorded>,
    /// Places of the answers to a request that were not used yet, in the order of the recording.
    answers: HashMap<RequestHash, VecDeque<(usize, usize)>>,
}

/// The transcript of one agent of an attempt.
#[derive(Debug)]
struct Recorded {
    place: AgentPath,
    facts: Vec<Fact>,
}

/// An agent among those of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentPath {
    /// Visit and number of the attempt.
    pub attempt: (u32, u32),
    /// Numbers of the agents from the one that the step's agent started down to this one; empty: the
    /// step's own.
    pub agents: Vec<u32>,
}

// === impl AgentPath ===

impl From<(u32, u32)> for AgentPath {
    fn from(attempt: (u32, u32)) -> Self {
        Self { attempt, agents: Vec::new() }
    }
}

// === impl Recording ===

impl Recording {
    /// A recording of transcripts with their places, in order. The beginning of a transcript that is a
    /// copy of the one of the attempt before counts once.
    pub fn new(transcripts: impl IntoIterator<Item = (AgentPath, Vec<Fact>)>) -> Self {
        let mut recording = Self::default();
        for (place, facts) in transcripts {
            let of_step = |recorded: &&Recorded| recorded.place.agents.is_empty();
            let before = recording.attempts.iter().rev().find(of_step);
            let before = before.filter(|_| place.agents.is_empty());
            let copied = copied(before.map(|before| &*before.facts), &facts);
            let attempt = recording.attempts.len();
            for_each_request(&facts, |at, request| {
                if at >= copied && answer(&facts[at]).is_some() {
                    let places = recording.answers.entry(hash(request)).or_default();
                    places.push_back((attempt, at));
                }
            });
            recording.attempts.push(Recorded { place, facts });
        }
        recording
    }

    /// The task of an agent: of the same attempt if that was recorded, else of the last one.
    pub fn task(&self, place: &AgentPath) -> Option<&Task> {
        let same = self.attempts.iter().find(|recorded| recorded.place == *place);
        let is_alike = |recorded: &&Recorded| recorded.place.agents == place.agents;
        let recorded = same.or(self.attempts.iter().rev().find(is_alike))?;
        recorded.facts.iter().find_map(|fact| match fact {
            Fact::Started { task } => Some(&**task),
            Fact::Answered { .. }
            | Fact::Broke { .. }
            | Fact::RunStarted { .. }
            | Fact::Result { .. }
            | Fact::Corrected { .. }
            | Fact::Held { .. }
            | Fact::Decided { .. }
            | Fact::Switched { .. }
            | Fact::Ended { .. } => None,
        })
    }

    /// The answers of the recording that were not used yet.
    pub fn unused(&self) -> usize {
        self.answers.values().map(VecDeque::len).sum()
    }

    /// Uses up the answers that transcripts of the replay itself have already: those of one agent, of its
    /// attempts in order.
    pub fn skip(&mut self, transcripts: &[Vec<Fact>]) {
        let mut before = None;
        for facts in transcripts {
            let copied = copied(before, facts);
            for_each_request(facts, |at, request| {
                if at >= copied && answer(&facts[at]).is_some() {
                    drop(self.take(request));
                }
            });
            before = Some(facts.as_slice());
        }
    }

    /// The recorded answer to a request, free of charge; each is given once. `None`: the recorded run did
    /// not send this request, or less often.
    pub fn take(&mut self, request: &Request) -> Option<Input> {
        let (attempt, at) = self.answers.get_mut(&hash(request))?.pop_front()?;
        answer(&self.attempts[attempt].facts[at])
    }

    /// The recorded decision about a call: of the same agent and attempt if that has one, else of the first
    /// attempt. Ids of calls are part of recorded answers, so that a replay has the same.
    pub fn decision(&self, place: &AgentPath, call: &str) -> Option<Decision> {
        let same = self.attempts.iter().filter(|recorded| recorded.place == *place);
        let alike = self.attempts.iter().filter(|recorded| recorded.place.agents == place.agents);
        let mut facts = same.chain(alike).flat_map(|recorded| &recorded.facts);
        facts.find_map(|fact| match fact {
            Fact::Decided { id, approve, by, at, message } if id == call => Some(Decision {
                id: id.clone(),
                approve: *approve,
                by: by.clone(),
                at: *at,
                message: message.clone(),
            }),
            _ => None,
        })
    }

    /// The run that the same call of the same agent started.
    pub fn run(&self, place: &AgentPath, call: &str) -> Option<RunId> {
        let same = self.attempts.iter().filter(|recorded| recorded.place == *place);
        let alike = self.attempts.iter().filter(|recorded| recorded.place.agents == place.agents);
        let mut facts = same.chain(alike).flat_map(|recorded| &recorded.facts);
        facts.find_map(|fact| match fact {
            Fact::RunStarted { id, run } if id == call => Some(run.run.clone()),
            _ => None,
        })
    }

    /// The difference between a request of an agent and the recorded one of the same turn: in the same
    /// attempt if that was recorded, else in the last one. Turns count from 1.
    pub fn divergence(&self, place: &AgentPath, turn: u32, request: &Request) -> Divergence {
        let same = self.attempts.iter().find(|recorded| recorded.place == *place);
        let is_alike = |recorded: &&Recorded| recorded.place.agents == place.agents;
        let Some(recorded) = same.or(self.attempts.iter().rev().find(is_alike)) else {
            return Divergence {
                turn,
                what: "the recording has no answer for this step".to_owned(),
                recorded: String::new(),
                now: String::new(),
            };
        };
        let (mut found, mut turns) = (None, 0);
        for_each_request(&recorded.facts, |at, request| {
            let is_same_turn = turns + 1 == turn;
            turns += u32::from(matches!(recorded.facts[at], Fact::Answered { .. }));
            if is_same_turn {
                found = Some(request.clone());
            }
        });
        let (what, then, now) = match found {
            Some(then) => difference(&then, request),
            None => {
                let what = format!("the recording of this step ends after {turns} answers");
                (what, String::new(), String::new())
            }
        };
        let (recorded, now) = excerpts(&then, &now);
        Divergence { turn, what, recorded, now }
    }
}

/// Facts at the beginning of a transcript that are those of the attempt before, whose runner was lost.
fn copied(before: Option<&[Fact]>, facts: &[Fact]) -> usize {
    before.filter(|before| facts.starts_with(before)).map_or(0, <[Fact]>::len)
}

/// Visits each request of a transcript, with the place of the fact that came of it.
fn for_each_request(facts: &[Fact], mut visit: impl FnMut(usize, &Request)) {
    let mut agent = Agent::default();
    for (at, fact) in facts.iter().enumerate() {
        if let Some(request) = agent.request() {
            visit(at, &request);
        }
        agent.evolve(fact);
    }
}

/// A fact as the answer that it came of; `None` if no answer of the API or of a budget did.
fn answer(fact: &Fact) -> Option<Input> {
    Some(match fact {
        Fact::Answered { answer, .. } => Input::Answered(answer.clone(), Some(PicoUsd(0))),
        Fact::Broke { usage, message } => Input::Broke { usage: *usage, message: message.clone() },
        Fact::Switched { message, .. } => Input::Unavailable(message.clone()),
        Fact::Ended { end } => match end.reason {
            EndReason::Api => Input::Unanswered(end.message.clone()),
            EndReason::Budget => Input::Unpaid(end.message.clone()),
            EndReason::Tokens => Input::NoTokens(end.message.clone()),
            _ => return None,
        },
        Fact::Started { .. }
        | Fact::Held { .. }
        | Fact::Decided { .. }
        | Fact::RunStarted { .. }
        | Fact::Result { .. }
        | Fact::Corrected { .. } => return None,
    })
}

fn hash(request: &Request) -> RequestHash {
    Sha256::digest(serde_json::to_vec(request).unwrap_or_default()).into()
}

/// The first part of two requests that differs, and its text in both.
fn difference(then: &Request, now: &Request) -> (String, String, String) {
    let unchanged = || ("the request".to_owned(), text(then), text(now));
    let parts = [
        ("the model", text(&then.model), text(&now.model)),
        ("the system prompt", text(&then.system), text(&now.system)),
        ("the list of tools", text(&names(then)), text(&names(now))),
        ("the tools", text(&then.tools), text(&now.tools)),
        ("the schema or effort", text(&then.output_config), text(&now.output_config)),
        ("the limit of tokens", text(&then.max_tokens), text(&now.max_tokens)),
    ];
    let part = parts.into_iter().find(|(_, then, now)| then != now);
    if let Some((what, then, now)) = part {
        return (format!("{what} differs"), then, now);
    }
    let count = then.messages.len().max(now.messages.len());
    for at in 0..count {
        let (before, after) = (then.messages.get(at), now.messages.get(at));
        if before == after {
            continue;
        }
        let blocks = |message: Option<&Message>| message.map_or(0, |it| it.content.len());
        for block in 0..blocks(before).max(blocks(after)) {
            let one = before.and_then(|message| message.content.get(block));
            let other = after.and_then(|message| message.content.get(block));
            if one != other {
                let message = after.or(before);
                let role = message.map_or(Role::User, |message| message.role);
                let what = part_name(now, (at, role), other.or(one));
                return (format!("{what} differs"), shown(one), shown(other));
            }
        }
    }
    unchanged()
}

/// The name of a block of a message, for people.
fn part_name(request: &Request, (at, role): (usize, Role), block: Option<&Block>) -> String {
    let Some(block) = block else { return "the conversation".to_owned() };
    if block.kind() == "tool_result" {
        let id = block.0.get("tool_use_id").and_then(Json::as_str).unwrap_or_default();
        let blocks = request.messages.iter().flat_map(|message| &message.content);
        let mut calls = blocks.filter_map(Block::as_tool_call);
        let name = calls.find(|call| call.id == id).map_or("?", |call| call.name);
        return format!("the result of `{name}` ({id})");
    }
    match role {
        Role::User if at == 0 => "the prompt".to_owned(),
        Role::User => "the correction".to_owned(),
        Role::Assistant => "an earlier answer".to_owned(),
    }
}

/// A block as an excerpt shows it: the text or result alone if only that can differ.
fn shown(block: Option<&Block>) -> String {
    let Some(block) = block else { return String::new() };
    let is_error = block.0.contains_key("is_error");
    let content = block.0.get("content").and_then(Json::as_str);
    match (block.as_text(), content) {
        (Some(text), _) => text.to_owned(),
        (None, Some(content)) if is_error => format!("(error) {content}"),
        (None, Some(content)) => content.to_owned(),
        (None, None) => text(&block.0),
    }
}

fn names(request: &Request) -> Vec<&str> {
    request.tools.iter().map(|tool| tool.name.as_str()).collect()
}

fn text(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Json::String(text)) => text,
        Ok(Json::Null) | Err(_) => String::new(),
        Ok(value) => value.to_string(),
    }
}

/// Both texts from a little before their first difference.
fn excerpts(one: &str, other: &str) -> (String, String) {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(BEFORE);
    let excerpt = |text: &str| {
        let mut shown: String = text.chars().skip(from).take(EXCERPT).collect();
        if from > 0 && !text.is_empty() {
            shown.insert(0, '…');
        }
        if text.chars().count() > from + EXCERPT {
            shown.push('…');
        }
        shown
    };
    (excerpt(one), excerpt(other))
}

#[cfg(test)]
mod tests;
