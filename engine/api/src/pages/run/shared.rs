//! The content of a run's page, read once for all who look at it: hundreds of tabs follow the same run, and
//! each event makes all of them ask.
//!
//! Must not hold anything that depends on the reader.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plue_dashboard::run::{LogEnd, steps::StepLine, tests::TestResults};
use plue_plan::{PlanHash, RunId};
use plue_runtime::clock::Mark;
use plue_store::{AttemptRow, run::FoldedRun};

use super::{end_of_log, plan, step_lines, test_results};
use crate::{
    access::Principal,
    explain::{self, Subject},
    extract::{admitted, run_of},
    problem::Problem,
    reading::whole,
    records::{StatusRecord, StepRecord, test_results::TestsRecord},
    server::Api,
};

/// Runs whose content is kept.
const MAX_KEPT: usize = 64;
/// Age of kept content at most: positions in queues change without a change of the run.
const FRESH: Duration = Duration::from_secs(1);
/// Failed steps of which the log is shown.
const MAX_LOGS: usize = 20;

/// Everything that the page of a run shows to every reader.
pub(super) struct Loaded {
    pub(super) read: FoldedRun,
    pub(super) status: StatusRecord,
    pub(super) attempts: Vec<AttemptRow>,
    pub(super) lines: Vec<StepLine>,
    pub(super) logs: Vec<LogEnd>,
    pub(super) tests: Option<TestResults>,
    pub(super) plan_before: Option<PlanHash>,
}

/// The kept content by run.
#[derive(Default)]
pub(crate) struct Shared(Mutex<HashMap<RunId, Arc<Slot>>>);

/// One run; the lock is held while it is read, so that those who come at once read once.
type Slot = tokio::sync::Mutex<Option<Seen>>;

struct Seen {
    /// Count of changes before it was read.
    changes: u64,
    at: Mark,
    loaded: Arc<Loaded>,
}

// === impl Shared ===

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn slot(&self, id: &RunId) -> Arc<Slot> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KEPT && !all.contains_key(id) {
            all.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(all.entry(id.clone()).or_default())
    }
}

/// The content of a run that the reader may see, with all facts up to `seq`.
///
/// # Errors
/// There is no such run for this reader; the database refuses.
pub(super) async fn loaded(
    api: &Api,
    who: &Principal,
    id: &RunId,
    seq: u64,
) -> Result<Arc<Loaded>, Problem> {
    let slot = api.shared_runs().slot(id);
    let mut seen = slot.lock().await;
    let changes = *api.store().changes_of(id).borrow();
    if let Some(seen) = &*seen {
        let is_fresh = seen.changes == changes
            && api.clock().elapsed(seen.at) < FRESH
            && seen.loaded.status.run.seq >= seq;
        if is_fresh {
            let repo = seen.loaded.read.row.repo.as_deref();
            admitted(who, repo, || Problem::not_found("run", id.as_str()))?;
            return Ok(Arc::clone(&seen.loaded));
        }
    }
    run_of(api, who, id.as_str()).await?;
    let at = api.clock().mark();
    let loaded = Arc::new(load(api, id).await?);
    *seen = Some(Seen { changes, at, loaded: Arc::clone(&loaded) });
    Ok(loaded)
}

async fn load(api: &Api, id: &RunId) -> Result<Loaded, Problem> {
    let steps = api.store().runs().steps(id).await?;
    let read = whole(api, id).await?;
    let FoldedRun { row, source, plan, run } = &read;
    let subject = Subject { row, source, plan, run };
    let status = explain::status(api.store(), steps, subject).await?;
    let attempts = api.store().attempts().list(id, None).await?;
    let failed = |step: &&StepRecord| matches!(step.status.as_str(), "failed" | "timed_out");
    let mut logs = Vec::new();
    for step in status.steps.iter().filter(failed).take(MAX_LOGS) {
        let last = attempts.iter().rev().find(|attempt| attempt.step.as_str() == step.step);
        if let Some(last) = last {
            logs.push(end_of_log(api, last).await?);
        }
    }
    let tests = match status.tests {
        Some(_) => TestsRecord::read(api.store(), id).await?.map(test_results::view),
        None => None,
    };
    let lines = step_lines(&status, plan, &attempts);
    let plan_before = plan::before(api, row).await?;
    Ok(Loaded { read, status, attempts, lines, logs, tests, plan_before })
}
