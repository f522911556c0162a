//! A run read from the store: its row, its plan, and its journal folded.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use plue_flow::{Fact, Run};
use plue_plan::{Event, Plan, RunId};
use plue_store::{RunRow, RunSource, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{engine::Engine, error::Error, perform::child::Parent};

/// How a run came about; kept with it, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Directory in which its steps run.
    pub workspace: PathBuf,
    /// Root of the repository.
    pub repository: PathBuf,
    /// How its plan was derived: `plue_planner::ReadSet` as JSON. Null for a plan without source.
    pub read_set: Json,
    /// Steps at the same time at most, whatever the plan says (`--max-parallel`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// The run that started it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// It runs in the pool for strangers, or not at all. So do its children and its repetitions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// Where in a trace it was asked for: a `traceparent` of W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A run as the store has it.
#[derive(Debug)]
pub struct Loaded {
    /// Its row.
    pub row: RunRow,
    /// What it was made from.
    pub source: RunSource,
    /// How it came about.
    pub origin: Origin,
    /// The plan it is pinned to.
    pub plan: Arc<Plan>,
    /// Its journal, folded.
    pub run: Run,
    /// Facts in the journal.
    pub seq: u64,
    /// Requests to stop among them.
    pub cancels: usize,
    /// When the last of them was written.
    pub last: Option<Timestamp>,
}

// === impl Origin ===

/// Characters of a run's id.
const ID_LENGTH: usize = 26;

/// Where a workspace lies on this machine. One that a server made, `…/workspaces/RUN`, is below the folder
/// of workspaces of whichever server drives the run; any other is where it is.
#[must_use]
pub fn placed(workspace: &Path, workspaces: Option<&Path>) -> PathBuf {
    let name = workspace.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_id = name.len() == ID_LENGTH && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let folder = workspace.parent().and_then(Path::file_name);
    match workspaces {
        Some(here) if is_id && folder == Some(OsStr::new("workspaces")) => here.join(name),
        Some(_) | None => workspace.to_owned(),
    }
}

impl Origin {
    /// The same, with its folders on this machine: see [`placed`].
    #[must_use]
    pub fn placed(self, workspaces: Option<&Path>) -> Self {
        Self {
            workspace: placed(&self.workspace, workspaces),
            repository: placed(&self.repository, workspaces),
            ..self
        }
    }

    /// Whether a stranger's change is in the run, wherever it may run: what a fork wrote is not to be
    /// trusted with more because an operator let it run without walls.
    #[must_use]
    pub fn is_strangers(&self, event: &Event) -> bool {
        self.untrusted || event.is_strangers()
    }

    /// A run in this directory that has neither a source nor a parent.
    #[must_use]
    pub fn at(workspace: PathBuf) -> Self {
        let repository = workspace.clone();
        Self {
            workspace,
            repository,
            read_set: Json::Null,
            max_parallel: None,
            parent: None,
            untrusted: false,
            traceparent: None,
        }
    }
}

// === impl Loaded ===

impl Loaded {
    /// Reads a run.
    ///
    /// # Errors
    /// No such run, no such plan, or one of them cannot be read.
    pub async fn read(store: &Store, id: &RunId) -> Result<Self, Error> {
        let stored = store.load_run(id).await?.ok_or_else(|| Error::UnknownRun(id.clone()))?;
        let (row, source) = (stored.run, stored.source);
        let corrupt = |message: String| Error::Corrupt { run: id.clone(), message };
        let bytes = store.plan(&row.plan).await?;
        let bytes = bytes.ok_or_else(|| Error::MissingPlan { run: id.clone(), plan: row.plan })?;
        let mut plan = Plan::from_json(&bytes).map_err(|error| corrupt(error.to_string()))?;
        let origin: Origin = serde_json::from_value(source.origin.clone())
            .map_err(|error| corrupt(error.to_string()))?;
        // The bound of this run beside that of its plan, whose hash stays what it is.
        plan.max_parallel = plan.max_parallel.into_iter().chain(origin.max_parallel).min();
        let plan = Arc::new(plan);
        let is_cancel = |(_, fact): &&(_, Fact)| matches!(fact, Fact::CancelRequested { .. });
        let cancels = stored.journal.iter().filter(is_cancel).count();
        let last = stored.journal.last().map(|(at, _)| *at);
        let run = Run::fold(id.clone(), plan.clone(), stored.journal)
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Self { seq: row.seq, row, source, origin, plan, run, cancels, last })
    }
}

// === impl Engine: reading ===

impl Engine {
    /// Reads a run.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub async fn load(&self, id: &RunId) -> Result<Loaded, Error> {
        Loaded::read(&self.0.store, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workspaces_that_a_server_made_move_with_the_machine() {
        let run = "01hzx2y3z4a5b6c7d8e9f0g1h2";
        let made = format!("/a/state/workspaces/{run}");
        let here = Path::new("/b/workspaces");
        assert_eq!(placed(Path::new(&made), Some(here)), here.join(run));
        assert_eq!(placed(Path::new(&made), None), Path::new(&made));
        for own in
            ["/home/ada/workspaces/app", "/home/ada/app", "/", "/a/01hzx2y3z4a5b6c7d8e9f0g1h2"]
        {
            assert_eq!(placed(Path::new(own), Some(here)), Path::new(own));
        }
    }
}
