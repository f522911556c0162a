//! Disk usage of a run while it runs: its log, its stored outputs and, on a server, its workspace. A run
//! over its limit is cancelled.
//!
//! Never blocks the run: the workspace is walked on a blocking thread, a tenth of the time at most.

use std::{path::PathBuf, time::Duration};

use plue_flow::Input;
use plue_plan::RunnerId;
use plue_runtime::{clock::Mark, metrics::names};
use tokio::task::JoinHandle;

use super::context::RunContext;
use crate::{
    batch::Incoming,
    codes,
    disk::{Bytes, Usage, usage},
    error::Error,
};

/// The shortest time between two measurements.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// Pause after a walk, as a multiple of its duration.
const PAUSE_FACTOR: u32 = 10;

/// The measurement of one run.
#[derive(Debug, Default)]
pub(super) struct RunUsage {
    measured: Option<Mark>,
    pause: Duration,
    walk: Option<(Mark, JoinHandle<Usage>)>,
    /// Bytes of the workspace after the last walk.
    workspace: u64,
    /// The run was cancelled for its usage.
    is_over: bool,
}

// === impl RunUsage ===

impl RunUsage {
    /// The cancellation of a run that is over its limit.
    pub(super) async fn over_limit(
        &mut self,
        context: &RunContext,
        runner: &RunnerId,
    ) -> Result<Option<Incoming>, Error> {
        let shared = &context.shared;
        let is_due = self.measured.is_none_or(|at| shared.clock.elapsed(at) >= self.pause);
        if self.is_over || !is_due {
            return Ok(None);
        }
        let limits = shared.pool.limits();
        let (limit, name) = match context.row.fork {
            None => (limits.own, "limits.run_bytes"),
            Some(_) => (limits.untrusted, "limits.untrusted_run_bytes"),
        };
        self.walk(context, runner, limit).await;
        let Some(bytes) = shared.store.capacity().run_bytes(&context.row.id).await? else {
            return Ok(None);
        };
        let workspace = self.workspace;
        let all = bytes.log.saturating_add(bytes.kept).saturating_add(workspace);
        if all <= limit {
            return Ok(None);
        }
        self.is_over = true;
        names::RUNS_STOPPED.increment(&[("reason", "bytes")]);
        let by = format!(
            "plue, {}: it has {} (log {}, kept content {}, workspace {}), {name} is {}",
            codes::RUN_BYTES,
            Bytes(all),
            Bytes(bytes.log),
            Bytes(bytes.kept),
            Bytes(workspace),
            Bytes(limit)
        );
        Ok(Some(Incoming::plain(Input::Cancel { by, kill: true })))
    }

    /// Takes the result of a walk through the workspace, or begins one.
    async fn walk(&mut self, context: &RunContext, runner: &RunnerId, limit: u64) {
        let clock = context.shared.clock;
        self.measured = Some(clock.mark());
        self.pause = MEASURE_EVERY;
        match self.walk.take() {
            Some((started, walk)) if walk.is_finished() => {
                // A walk that panicked has no result.
                let usage = walk.await.unwrap_or_default();
                self.workspace = usage.bytes;
                self.pause = MEASURE_EVERY.max(clock.elapsed(started) * PAUSE_FACTOR);
            }
            Some(walk) => self.walk = Some(walk),
            None => {
                let folders = folders(context, runner);
                if !folders.is_empty() {
                    let walk = context.shared.tasks.spawn_blocking(move || usage(folders, limit));
                    self.walk = Some((clock.mark(), walk));
                }
            }
        }
    }
}

/// The folders that a server has made for the run. A person's own working tree is not measured.
fn folders(context: &RunContext, runner: &RunnerId) -> Vec<PathBuf> {
    let workspace = &context.origin.workspace;
    let root = context.shared.options.workspaces.root.as_deref();
    if root.is_none_or(|root| !workspace.starts_with(root)) {
        return Vec::new();
    }
    vec![workspace.clone(), context.shared.pool.directory(runner)]
}
