//! Answers from outside: decisions of people, callbacks of systems, messages on topics, for the command
//! line and the API. An answer is stored first; the driver of the run applies it, now or when it recovers
//! the run.

use jiff::Timestamp;
use plue_flow::{Awaited, CallRequest, Decision, Input, Rejected, StepStatus};
use plue_plan::{Action, AttemptId, RunId, StepId};
use plue_store::{CallbackAnswered, Store, decision::CallDecision};
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    loaded::Loaded,
    perform::output::{self, SchemaMismatch},
};

/// Bytes of the fields or the output of one answer.
pub const MAX_ANSWER_BYTES: usize = plue_plan::limits::MAX_OUTPUT_BYTES;
/// Characters of a comment on a decision.
pub const MAX_COMMENT: usize = 4_096;

/// The reason that an answer was rejected.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The plan lacks the step.
    #[error("the plan has no step `{0}`")]
    UnknownStep(StepId),
    /// The step waits for no decision.
    #[error("step `{step}` does not wait for a decision: it is {status}")]
    NotWaiting {
        /// Id of the step.
        step: StepId,
        /// Current status of the step.
        status: StepStatus,
    },
    /// The run has ended.
    #[error("the run has ended: {0}")]
    Ended(plue_flow::RunStatus),
    /// The author is not an approver.
    #[error("only {} may answer it", approvers.join(", "))]
    NotAllowed {
        /// Names of the approvers.
        approvers: Vec<String>,
    },
    /// Each person answers once.
    #[error("{by} has answered already")]
    Already {
        /// Name of the person.
        by: String,
    },
    /// The step waits for the approval of calls, and the answer names none.
    #[error("step `{step}` waits for the approval of calls; name one of {}", calls.join(", "))]
    WhichCall {
        /// Id of the step.
        step: StepId,
        /// Ids of its open calls.
        calls: Vec<String>,
    },
    /// The call waits for no decision: it was decided, or its deadline has passed.
    #[error("step `{step}` does not wait for a decision about the call {}", call.escape_debug())]
    NoSuchCall {
        /// Id of the step.
        step: StepId,
        /// Id of the call.
        call: String,
    },
    /// Invalid fields, comment or output.
    #[error("{0}")]
    Fields(String),
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] Error),
}

/// Records an answer to an approval, for the driver of the run.
///
/// # Errors
/// The answer is rejected.
pub async fn decide(
    store: &Store,
    run: &RunId,
    step: &StepId,
    decision: Decision,
    now: Timestamp,
) -> Result<(), AnswerError> {
    let loaded = Loaded::read(store, run).await?;
    let definition = loaded.plan.step(step);
    let definition = definition.ok_or_else(|| AnswerError::UnknownStep(step.clone()))?;
    let status = loaded.run.status();
    if status.is_terminal() {
        return Err(AnswerError::Ended(status));
    }
    let waiting = loaded.run.waiting().find(|waiting| waiting.step == *step);
    if let Some(Awaited::Call(_)) = waiting.as_ref().map(|waiting| waiting.what) {
        let calls = open_calls(&loaded, step).into_iter().map(|(call, _)| call.call).collect();
        return Err(AnswerError::WhichCall { step: step.clone(), calls });
    }
    let asked = waiting.filter(|waiting| matches!(waiting.what, Awaited::Decision { .. }));
    let Some(asked) = asked else {
        let view = loaded.run.step_view(step);
        let status = view.map_or(StepStatus::Pending, |view| view.status);
        return Err(AnswerError::NotWaiting { step: step.clone(), status });
    };
    let by = decision.by.clone();
    let input = Input::Decide { attempt: asked.attempt.clone(), decision: decision.clone() };
    loaded.run.decide(now, &input).map_err(|rejected| match rejected {
        Rejected::NotAnApprover { approvers } => AnswerError::NotAllowed { approvers },
        Rejected::AnsweredAlready { by } => AnswerError::Already { by },
        other => AnswerError::Run(Error::Refused { run: run.clone(), message: other.to_string() }),
    })?;
    if let Action::Approval(approval) = &definition.action {
        check(&decision, approval.fields.as_ref()).await?;
    }
    let attempt = asked.attempt;
    let is_new =
        store.decisions().record(run, &attempt, decision, now).await.map_err(Error::Store)?;
    if is_new { Ok(()) } else { Err(AnswerError::Already { by }) }
}

/// Calls of a step's agent that wait for people, with their attempts.
#[must_use]
pub fn open_calls(loaded: &Loaded, step: &StepId) -> Vec<(CallRequest, AttemptId)> {
    let of_step = loaded.run.waiting().filter(|waiting| waiting.step == *step);
    let calls = of_step.filter_map(|waiting| match waiting.what {
        Awaited::Call(call) => Some((call.clone(), waiting.attempt)),
        _ => None,
    });
    calls.collect()
}

/// Records a decision about one call of an agent; returns the call as it was displayed.
///
/// # Errors
/// The decision is rejected.
pub async fn decide_call(
    store: &Store,
    run: &RunId,
    (step, call): (&StepId, &str),
    decision: Decision,
    now: Timestamp,
) -> Result<CallRequest, AnswerError> {
    let loaded = Loaded::read(store, run).await?;
    if loaded.plan.step(step).is_none() {
        return Err(AnswerError::UnknownStep(step.clone()));
    }
    let status = loaded.run.status();
    if status.is_terminal() {
        return Err(AnswerError::Ended(status));
    }
    let closed = || AnswerError::NoSuchCall { step: step.clone(), call: call.to_owned() };
    let mut open = loaded.run.waiting().filter(|waiting| waiting.step == *step);
    let (asked, attempt, until) = open
        .find_map(|waiting| match waiting.what {
            Awaited::Call(asked) if asked.call == call => {
                Some((asked.clone(), waiting.attempt, waiting.until))
            }
            _ => None,
        })
        .ok_or_else(closed)?;
    if until.is_some_and(|until| now >= until) {
        return Err(closed());
    }
    check(&decision, None).await?;
    let decision = CallDecision { call: call.to_owned(), decision, at: now };
    match store.decisions().record_for_call(run, &attempt, decision).await.map_err(Error::Store)? {
        None => Ok(asked),
        Some(by) => Err(AnswerError::Already { by }),
    }
}

async fn check(decision: &Decision, fields: Option<&Json>) -> Result<(), AnswerError> {
    let comment = decision.comment.as_ref().map_or(0, |comment| comment.chars().count());
    if comment > MAX_COMMENT {
        let message = format!("the comment has {comment} characters, more than {MAX_COMMENT}");
        return Err(AnswerError::Fields(message));
    }
    // A rejection needs no fields.
    if !decision.approve {
        return Ok(());
    }
    let Some(schema) = fields else {
        let named = decision.fields.keys().next();
        return named.map_or(Ok(()), |name| {
            Err(AnswerError::Fields(format!("the step asks for no fields, so not for `{name}`")))
        });
    };
    let filled = Json::Object(decision.fields.clone());
    let size = filled.to_string().len();
    if size > MAX_ANSWER_BYTES {
        let message = format!("the fields have {size} bytes, more than {MAX_ANSWER_BYTES}");
        return Err(AnswerError::Fields(message));
    }
    output::check_fields(schema, &filled).await.map_err(|unfit| match unfit {
        SchemaMismatch::Refused(message) | SchemaMismatch::Interrupted(message) => {
            AnswerError::Fields(message)
        }
    })
}

/// Parses texts by the schema of an approval's fields: `n=3` is a number if the schema demands one. A text
/// that is no such value stays a text, which the schema refuses.
#[must_use]
pub fn typed_fields(schema: Option<&Json>, given: &[(String, String)]) -> Map<String, Json> {
    let kind = |name: &str| {
        let kind = schema?.get("properties")?.get(name)?.get("type")?;
        kind.as_str().map(str::to_owned)
    };
    let typed = given.iter().map(|(name, text)| {
        let value = match kind(name).as_deref() {
            Some("string") => None,
            Some(_) => serde_json::from_str(text).ok(),
            None => serde_json::from_str::<Json>(text).ok().filter(|value| !value.is_string()),
        };
        (name.clone(), value.unwrap_or_else(|| Json::String(text.clone())))
    });
    typed.collect()
}

/// Whether a one-time token is that of a call, answered or not.
///
/// # Errors
/// [`Error`] of the database.
pub async fn knows_callback(store: &Store, token: &str) -> Result<bool, Error> {
    store.callbacks().contains(&token_hash(token)).await.map_err(Error::Store)
}

/// Answers a waiting call by its one-time token. Only the first answer counts; the result marks further ones
/// as duplicates.
///
/// # Errors
/// The answer is too large, or [`Error`] of the database.
pub async fn answer_callback(
    store: &Store,
    token: &str,
    output: Json,
    now: Timestamp,
) -> Result<CallbackAnswered, AnswerError> {
    let size = output.to_string().len();
    if size > MAX_ANSWER_BYTES {
        let message = format!("the output has {size} bytes, more than {MAX_ANSWER_BYTES}");
        return Err(AnswerError::Fields(message));
    }
    let answered = store.callbacks().answer(&token_hash(token), output, now).await;
    Ok(answered.map_err(Error::Store)?)
}

/// The hash under which a token is stored.
#[must_use]
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.trim()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn typed_texts_follow_the_schema() {
        let schema = json!({"properties": {
            "n": {"type": "integer"}, "s": {"type": "string"}, "b": {"type": "boolean"},
        }});
        let pairs = given(&[("n", "3"), ("s", "3"), ("b", "true"), ("free", "4"), ("t", "yes")]);
        let typed = Json::Object(typed_fields(Some(&schema), &pairs));
        assert_eq!(typed, json!({"n": 3, "s": "3", "b": true, "free": 4, "t": "yes"}));
    }

    #[test]
    fn invalid_values_stay_texts() {
        let schema = json!({"properties": {"n": {"type": "integer"}}});
        let typed = typed_fields(Some(&schema), &given(&[("n", "many")]));
        assert_eq!(Json::Object(typed), json!({"n": "many"}));
    }
}
