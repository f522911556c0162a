//! Bytes of a run while it runs: log, kept content and, on a server, the workspace. A run that is over its
//! limit is cancelled.
//!
//! Must not hold up the run: the workspace is walked on a blocking thread, a tenth of the time at most.

use std::{path::PathBuf, time::Duration};

use plue_flow::Input;
use plue_runtime::{clock::Mark, metrics::names};
use tokio::task::JoinHandle;

use super::Driver;
use crate::{
    batch::Incoming,
    codes,
    disk::{Bytes, Usage, usage},
    error::Error,
};

/// Between two looks at the bytes of a run, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause behind a walk, in its duration.
const PAUSE_FACTOR: u32 = 10;

/// Measurement of the bytes of a run.
#[derive(Debug, Default)]
pub(super) struct RunBytes {
    looked: Option<Mark>,
    pause: Duration,
    walk: Option<(Mark, JoinHandle<Usage>)>,
    workspace: u64,
    /// The run was cancelled for its bytes.
    is_over: bool,
}

// === impl Driver: bytes ===

impl Driver {
    /// The cancellation of a run that has more bytes than its limit.
    pub(super) async fn over_bytes(&mut self) -> Result<Option<Incoming>, Error> {
        let clock = self.shared.clock;
        let is_due = self.bytes.looked.is_none_or(|at| clock.elapsed(at) >= self.bytes.pause);
        if self.bytes.is_over || self.lease.is_none() || !is_due {
            return Ok(None);
        }
        let limits = self.shared.pool.limits();
        let (limit, name) = match self.row.fork {
            None => (limits.own, "limits.run_bytes"),
            Some(_) => (limits.untrusted, "limits.untrusted_run_bytes"),
        };
        self.walk(limit).await;
        let Some(bytes) = self.shared.store.run_bytes(&self.row.id).await? else {
            return Ok(None);
        };
        let workspace = self.bytes.workspace;
        let all = bytes.log.saturating_add(bytes.kept).saturating_add(workspace);
        if all <= limit {
            return Ok(None);
        }
        self.bytes.is_over = true;
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
    async fn walk(&mut self, limit: u64) {
        let clock = self.shared.clock;
        self.bytes.looked = Some(clock.mark());
        self.bytes.pause = LOOK_EVERY;
        match self.bytes.walk.take() {
            Some((begun, walk)) if walk.is_finished() => {
                // A walk that panicked has seen nothing.
                let usage = walk.await.unwrap_or_default();
                self.bytes.workspace = usage.bytes;
                self.bytes.pause = LOOK_EVERY.max(clock.elapsed(begun) * PAUSE_FACTOR);
            }
            Some(walk) => self.bytes.walk = Some(walk),
            None => {
                let folders = self.folders();
                if !folders.is_empty() {
                    let walk = self.shared.tasks.spawn_blocking(move || usage(folders, limit));
                    self.bytes.walk = Some((clock.mark(), walk));
                }
            }
        }
    }

    /// The folders that a server has made for the run. A person's own working tree is not measured.
    fn folders(&self) -> Vec<PathBuf> {
        let of_server = self.shared.options.workspaces.as_deref();
        if of_server.is_none_or(|folder| !self.workspace.starts_with(folder)) {
            return Vec::new();
        }
        let runner = self.lease.as_ref().map(|leased| &leased.lease.runner);
        let runner = runner.map(|runner| self.shared.pool.directory(runner));
        std::iter::once(self.workspace.clone()).chain(runner).collect()
    }
}
