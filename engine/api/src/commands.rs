//! What the API asks of the side that plans and executes. The implementation is wired in by the
//! server's program; tests bring their own.
//!
//! Must not know how it is done.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::future::BoxFuture;
use plue_plan::{Diagnostic, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A run that somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The repository, as it was added.
    pub repository: String,
    /// A workflow file of it, or the name of a plan.
    pub workflow: String,
    /// Branch, tag or commit; absent: the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Typed inputs.
    #[serde(default)]
    pub inputs: BTreeMap<String, Json>,
}

/// How a run is to go on after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// From this step on; absent: every step that did not succeed.
    #[serde(default)]
    pub from: Option<String>,
}

/// Why a command was not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What was sent is wrong; all that is wrong with it.
    #[error("the plan or its inputs are not valid")]
    Invalid(Vec<Diagnostic>),
    /// It speaks of something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done in this state.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be done now.
    #[error("{0}")]
    Unavailable(String),
}

/// The side that plans and executes.
pub trait Commands: fmt::Debug + Send + Sync {
    /// Plans a workflow and stores a run of this id. If there is such a run already, nothing happens:
    /// the same request came before.
    fn submit(
        &self,
        id: RunId,
        request: RunRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>>;

    /// Lets an ended run go on.
    fn retry(
        &self,
        run: RunId,
        request: RetryRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>>;
}

/// A shared [`Commands`].
pub type SharedCommands = Arc<dyn Commands>;
