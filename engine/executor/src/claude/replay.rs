//! Replays: answers from an earlier run's transcripts in place of the API's, free of charge.
//!
//! Must not call a model or reserve money: a request that was not recorded ends the agent.

use std::sync::{Arc, Mutex, PoisonError};

use plue_llm::{
    Agent, Answer, Delta, Recording, Request,
    agent::{Fact, Input},
    replay::AgentPath,
};
use plue_plan::{RunId, StepId};
use plue_store::{Store, TranscriptId as _};
use serde_json::Value as Json;

use super::log_view::LogView;
use crate::error::Error;

/// The recording of one step, shared by its attempts.
pub(crate) type SharedRecording = Arc<Mutex<Recording>>;

/// The recording of one step, and the agent that takes answers from it.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) recording: SharedRecording,
    /// Attempt and number of the agent.
    pub(crate) place: AgentPath,
}

/// The recording of a step, without the answers that attempts of the replay have taken.
///
/// # Errors
/// [`Error::Store`].
pub(crate) async fn recording(
    store: &Store,
    (recorded, replay): (&RunId, &RunId),
    step: &StepId,
) -> Result<SharedRecording, Error> {
    let mut recording = Recording::new(transcripts(store, recorded, step).await?);
    let own = transcripts(store, replay, step).await?;
    let (of_step, below): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|(place, _)| place.agents.is_empty());
    recording.skip(&of_step.into_iter().map(|(_, facts)| facts).collect::<Vec<_>>());
    for (_, facts) in below {
        recording.skip(&[facts]);
    }
    Ok(Arc::new(Mutex::new(recording)))
}

/// The transcripts of a step's agents, in order; subagents follow the agent of their attempt. An unreadable
/// one counts as empty.
async fn transcripts(
    store: &Store,
    run: &RunId,
    step: &StepId,
) -> Result<Vec<(AgentPath, Vec<Fact>)>, Error> {
    let mut all = Vec::new();
    for row in store.attempts().list(run, Some(step)).await? {
        let below = store.transcripts().agents_of(run, &row.claim.attempt).await?;
        for id in std::iter::once(row.claim.attempt).chain(below) {
            let facts = store.transcripts().of(&id).await?.into_iter();
            let facts: Result<Vec<Fact>, _> = facts.map(serde_json::from_value).collect();
            let place = AgentPath { attempt: (row.visit, row.number), agents: id.agents() };
            match facts {
                Ok(facts) if facts.is_empty() => {}
                Ok(facts) => all.push((place, facts)),
                Err(error) => {
                    tracing::warn!(%id, %error, "failed to read a transcript; replaying without it");
                }
            }
        }
    }
    Ok(all)
}

// === impl Replay ===

impl Replay {
    /// The recorded run that the same call started.
    pub(super) fn run_of(&self, call: &str) -> Option<RunId> {
        let recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.run(&self.place, call)
    }

    /// The recorded answer to a request with its text for the log, or the input that ends the agent at the
    /// first request without one.
    pub(super) fn answer(
        &self,
        agent: &Agent,
        request: &Request,
        view: &mut LogView,
    ) -> (Input, String) {
        let turn = agent.totals().turns + 1;
        let input = {
            let mut recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
            recording.take(request).unwrap_or_else(|| {
                let divergence = recording.divergence(&self.place, turn, request);
                Input::Diverged(Box::new(divergence))
            })
        };
        let text = match &input {
            Input::Answered(answer, _) => answer_text(answer, view),
            Input::Broke { message, .. } => {
                view.note(&format!("[plue: the answer broke off: {message}]"))
            }
            _ => String::new(),
        };
        (input, text)
    }
}

/// The log of an answer, as if it were streamed.
fn answer_text(answer: &Answer, view: &mut LogView) -> String {
    let mut text = String::new();
    for (index, block) in (0_u64..).zip(&answer.content) {
        let field = |name: &str| block.0.get(name).and_then(Json::as_str).map(str::to_owned);
        let kind = block.kind().to_owned();
        let tool = field("name").filter(|_| kind == "tool_use");
        let input = block.0.get("input").map(Json::to_string).unwrap_or_default();
        let piece = match kind.as_str() {
            "text" => field("text").map(Delta::Text),
            "thinking" => field("thinking").map(Delta::Thinking),
            "tool_use" => Some(Delta::ToolInput(input)),
            _ => None,
        };
        let start = Delta::BlockStart { index, kind, tool };
        for delta in [Some(start), piece, Some(Delta::BlockStop { index })].iter().flatten() {
            text.push_str(&view.piece(delta));
        }
    }
    text
}
