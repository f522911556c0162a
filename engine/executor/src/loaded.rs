//! A run read from the store: its row, its plan, and its journal folded.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use plue_flow::{Fact, Run};
use plue_plan::{Action, DurationText, Event, Plan, RunId, plan::DEFAULT_TIMEOUT};
use plue_store::{RunRow, RunSource, Store, error::Error as StoreError, run::FoldedRun};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{engine::Engine, error::Error, perform::child::Parent};

/// The origin of a run; stored with it, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Directory in which its steps run.
    pub workspace: PathBuf,
    /// Root of the repository's working tree.
    pub repository: PathBuf,
    /// The read-set of the plan, `plue_planner::ReadSet` as JSON; null for a plan without source.
    pub read_set: Json,
    /// Most steps at the same time, in addition to the plan's limit (`--max-parallel`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// The run and step that started it, for a child run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// It runs in the untrusted pool, or not at all; so do its children and its reruns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// The span of its submission: a `traceparent` of W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Longest duration of a fork's run and of each of its steps, in seconds; caps the plan's timeouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<u64>,
    /// The run whose transcripts answer its Claude steps (`plue replay`); no engine calls a model then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<RunId>,
}

/// The default of [`Origin::max_duration_s`] for runs of forks.
pub const MAX_UNTRUSTED: Duration = Duration::from_secs(60 * 60);

/// A stored run with its folded journal.
#[derive(Debug)]
pub struct Loaded {
    /// The row of the run.
    pub row: RunRow,
    /// The submission of the run.
    pub source: RunSource,
    /// The decoded origin of [`Loaded::source`].
    pub origin: Origin,
    /// The plan, with the limits of the origin applied.
    pub plan: Arc<Plan>,
    /// The state after all facts of the journal.
    pub run: Run,
    /// Number of facts in the journal.
    pub seq: u64,
    /// Number of stop requests among the facts.
    pub cancels: usize,
    /// Time of the last fact.
    pub last: Option<Timestamp>,
}

// === impl Origin ===

/// Characters of a generated run id.
const ID_LENGTH: usize = 26;

/// The path of a workspace on this machine. A workspace that a server made, `…/workspaces/RUN`, is below the
/// `workspaces` folder of the server that drives the run; the path of any other is unchanged.
#[must_use]
pub fn relocated(workspace: &Path, workspaces: Option<&Path>) -> PathBuf {
    let name = workspace.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_id = name.len() == ID_LENGTH && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let folder = workspace.parent().and_then(Path::file_name);
    match workspaces {
        Some(here) if is_id && folder == Some(OsStr::new("workspaces")) => here.join(name),
        Some(_) | None => workspace.to_owned(),
    }
}

impl Origin {
    /// The same with paths on this machine: see [`relocated`].
    #[must_use]
    pub fn relocated(self, workspaces: Option<&Path>) -> Self {
        Self {
            workspace: relocated(&self.workspace, workspaces),
            repository: relocated(&self.repository, workspaces),
            ..self
        }
    }

    /// Whether the change of the run comes from a fork, in whichever pool it runs: an operator who allows
    /// forks without isolation does not make them trusted.
    #[must_use]
    pub fn is_from_fork(&self, event: &Event) -> bool {
        self.untrusted || event.is_untrusted()
    }

    /// The pull request of a fork that the run is about; 0 if its number is unknown.
    #[must_use]
    pub fn fork(&self, event: &Event) -> Option<u64> {
        let number = || event.pull_request.as_ref().map_or(0, |pull| pull.number);
        self.is_from_fork(event).then(number)
    }

    /// The origin of a run in this directory without a source or a parent.
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
            max_duration_s: None,
            replay: None,
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
        let stored = store.runs().load(id).await?.ok_or_else(|| Error::UnknownRun(id.clone()))?;
        let corrupt = |message: String| Error::Corrupt { run: id.clone(), message };
        let unread = |error: StoreError| match error {
            StoreError::Corrupt(message) => corrupt(message),
            other => Error::Store(other),
        };
        let hash = stored.run.plan;
        let plan = store.plans().parsed(&hash).await.map_err(unread)?;
        let mut plan = plan.ok_or_else(|| Error::MissingPlan { run: id.clone(), plan: hash })?;
        let origin: Origin = serde_json::from_value(stored.source.origin.clone())
            .map_err(|error| corrupt(error.to_string()))?;
        // Applied here, so that the stored plan and its hash stay unchanged.
        plan.max_parallel = plan.max_parallel.into_iter().chain(origin.max_parallel).min();
        if stored.run.fork.is_some() {
            let most = origin.max_duration_s.map_or(MAX_UNTRUSTED, Duration::from_secs);
            shorten(&mut plan, most);
        }
        let is_cancel = |(_, fact): &&(_, Fact)| matches!(fact, Fact::CancelRequested { .. });
        let cancels = stored.journal.iter().filter(is_cancel).count();
        let last = stored.journal.last().map(|(at, _)| *at);
        let FoldedRun { row, source, plan, run } = stored.fold(Arc::new(plan)).map_err(unread)?;
        Ok(Self { seq: row.seq, row, source, origin, plan, run, cancels, last })
    }
}

/// Caps the timeouts of the plan and of the steps that runners execute. Steps that wait for people keep
/// theirs: they occupy no runner.
fn shorten(plan: &mut Plan, most: Duration) {
    let capped = |timeout: Option<&DurationText>| {
        let is_shorter = timeout.and_then(|text| text.parse().ok()).is_some_and(|it| it <= most);
        (!is_shorter).then(|| DurationText::new(format!("{}s", most.as_secs())))
    };
    let default = DurationText::new(DEFAULT_TIMEOUT);
    let whole = capped(plan.timeout.as_ref().or(Some(&default)));
    plan.timeout = whole.or(plan.timeout.take());
    for step in &mut plan.steps {
        let is_runners = matches!(step.action, Action::Bash(_) | Action::Python(_));
        let given = step.options.timeout.as_ref().filter(|_| is_runners);
        if let Some(shorter) = given.and_then(|given| capped(Some(given))) {
            step.options.timeout = Some(shorter);
        }
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
    fn timeouts_of_forks_are_capped() {
        let step = |options: &str| format!(r#"{{"id":"a","kind":"bash","run":"x"{options}}}"#);
        let table = [
            ("", "", "1h", None),
            (r#","timeout":"10h""#, r#","timeout":"3h""#, "3600s", Some("3600s")),
            (r#","timeout":"5m""#, r#","timeout":"2m""#, "5m", Some("2m")),
        ];
        for (of_plan, of_step, plan_timeout, step_timeout) in table {
            let step = step(of_step);
            let text = format!(r#"{{"version":1,"name":"x","steps":[{step}]{of_plan}}}"#);
            let mut plan = Plan::from_json(text.as_bytes()).unwrap();
            shorten(&mut plan, MAX_UNTRUSTED);
            let whole = plan.timeout.map_or("1h".to_owned(), |text| text.to_string());
            assert_eq!(whole, plan_timeout);
            let timeout = plan.steps[0].options.timeout.as_ref().map(ToString::to_string);
            assert_eq!(timeout.as_deref(), step_timeout);
        }
    }

    #[test]
    fn only_workspaces_of_servers_are_relocated() {
        let run = "01hzx2y3z4a5b6c7d8e9f0g1h2";
        let made = format!("/a/state/workspaces/{run}");
        let here = Path::new("/b/workspaces");
        assert_eq!(relocated(Path::new(&made), Some(here)), here.join(run));
        assert_eq!(relocated(Path::new(&made), None), Path::new(&made));
        for own in
            ["/home/ada/workspaces/app", "/home/ada/app", "/", "/a/01hzx2y3z4a5b6c7d8e9f0g1h2"]
        {
            assert_eq!(relocated(Path::new(own), Some(here)), Path::new(own));
        }
    }
}
