//! Results of a delivery, one for each workflow of its repository.

use plue_plan::RunId;
use serde::{Deserialize, Serialize};

use crate::{
    delivery::{DeliveryState, InHand, hand::IN_HAND},
    error::Error,
    sql::{Arg, Statement},
};

/// Outcome of a delivery, stored in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// State that the delivery enters.
    pub state: DeliveryState,
    /// Explanation of the state, for people.
    pub note: String,
    /// Results by workflow; `None`: no workflow was considered.
    pub dispatches: Option<Dispatches>,
}

/// Results of a delivery for the workflows of its repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dispatches {
    /// The workflows with a trigger for events of this type.
    pub workflows: Vec<Dispatch>,
    /// The names of the others.
    pub without_trigger: Vec<String>,
}

/// Result of a delivery for one workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Name of the plan; that of the file if it has none.
    pub workflow: String,
    /// Path of the workflow file in the repository.
    pub file: String,
    /// Kind of the result.
    pub result: DispatchResult,
    /// Explanation for people; absent if the kind suffices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// Kind of the result of a delivery for one workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatchResult {
    /// It started a run.
    Run,
    /// A filter of its triggers does not match.
    Skipped,
    /// A maintainer must allow the commit.
    Held,
    /// The workflow is paused.
    Paused,
    /// The sender may not start it.
    Refused,
    /// The workflow file has no valid plan.
    Invalid,
}

// === impl Settlement ===

impl Settlement {
    /// A settlement for which no workflow was considered.
    #[must_use]
    pub const fn new(state: DeliveryState, note: String) -> Self {
        Self { state, note, dispatches: None }
    }

    pub(super) fn statement(&self, delivery: InHand<'_>) -> Result<Statement, Error> {
        let mut args = delivery.args();
        args.extend([self.state.as_str().into(), self.note.as_str().into()]);
        args.push(match &self.dispatches {
            Some(dispatches) => Arg::json(dispatches)?,
            None => None::<String>.into(),
        });
        // The forge sends the body again if it is to be looked at again.
        let body = match self.state {
            DeliveryState::Ignored => {
                args.push(Arg::Bytes(Vec::new()));
                ", body = $8"
            }
            DeliveryState::New | DeliveryState::Done | DeliveryState::Failed => "",
        };
        let text = format!(
            "UPDATE delivery SET state = $5, note = $6, dispatch = $7{body} WHERE {IN_HAND}"
        );
        Ok(Statement::new(text, args))
    }
}

// === impl DispatchResult ===

impl DispatchResult {
    /// Name of the kind, as the database stores it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Skipped => "skipped",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
        }
    }
}
