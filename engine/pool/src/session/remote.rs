//! The part of a session that only runners of other machines have: files of the run, takeovers, drains.

use plue_plan::RunId;
use plue_wire::runner::{Claim, REMOTE_PROTOCOL, ToRunner, WorkspaceReport, WorkspaceSpec};
use tokio::sync::watch;

use super::Session;
use crate::{error::Error, lease::PoolEvent};

/// See the module. A session of a local runner has the default.
#[derive(Default)]
pub(super) struct RemoteSession {
    /// The files that the runner is ordered to have.
    workspace: Option<WorkspaceSpec>,
    /// The report of readiness that waits for them.
    deferred: Option<PoolEvent>,
    takeover: Option<Takeover>,
    /// Raised when the runner gets no further run.
    drains: Option<watch::Sender<bool>>,
}

/// The number of this connection among those of its runner, and of the newest one.
#[derive(Debug, Clone)]
pub(crate) struct Takeover {
    pub(crate) own: u64,
    pub(crate) newest: watch::Receiver<u64>,
}

// === impl RemoteSession ===

impl RemoteSession {
    /// Waits for a newer connection of the runner. Cancel-safe; pending for a local runner.
    pub(super) async fn superseded(&mut self) {
        match &mut self.takeover {
            Some(Takeover { own, newest }) => {
                let own = *own;
                if newest.wait_for(|newest| *newest > own).await.is_err() {
                    // No newer connection can come any more.
                    std::future::pending::<()>().await;
                }
            }
            None => std::future::pending().await,
        }
    }

    /// The runner has announced its end.
    pub(super) fn drain(&self) {
        if let Some(drains) = &self.drains {
            drains.send_replace(true);
        }
    }
}

// === impl Session: runners of other machines ===

impl Session<'_> {
    /// The same for a runner of another machine.
    pub(crate) fn of_remote(
        mut self,
        workspace: Option<WorkspaceSpec>,
        takeover: Takeover,
        drains: watch::Sender<bool>,
    ) -> Self {
        let (takeover, drains) = (Some(takeover), Some(drains));
        self.remote = RemoteSession { workspace, deferred: None, takeover, drains };
        self
    }

    /// The files that the runner was ordered to have last.
    pub(crate) fn workspace(&self) -> Option<&WorkspaceSpec> {
        self.remote.workspace.as_ref()
    }

    /// Reports readiness: at once, or when the runner has the files of its run. A runner with attempts has
    /// them.
    pub(super) fn begin(&mut self, epoch: u64, owned: Vec<Claim>) -> Result<(), Error> {
        let has_attempts = !owned.is_empty();
        let ready = PoolEvent::Ready { epoch, owned };
        match self.remote.workspace.clone() {
            Some(spec) if !has_attempts => self.order_workspace(spec, ready),
            Some(_) | None => {
                self.outgoing.push_back(ready);
                Ok(())
            }
        }
    }

    /// Orders the files of a run from a runner that had none.
    pub(super) fn prepare(&mut self, spec: WorkspaceSpec) -> Result<(), Error> {
        let ready = PoolEvent::Ready { epoch: self.events.epoch(), owned: Vec::new() };
        self.remote.workspace = Some(spec.clone());
        self.order_workspace(spec, ready)
    }

    fn order_workspace(&mut self, spec: WorkspaceSpec, ready: PoolEvent) -> Result<(), Error> {
        if self.protocol < REMOTE_PROTOCOL {
            let old = format!("it speaks protocol {}: update plue-runner", self.protocol);
            return Err(Error::Workspace(old));
        }
        self.remote.deferred = Some(ready);
        self.content.allow(spec.archive.map(|archive| archive.blob));
        self.send(&ToRunner::Workspace(spec))
    }

    /// The runner has the files, or cannot get them.
    pub(super) fn prepared(&mut self, report: WorkspaceReport) -> Result<(), Error> {
        let ordered: Option<&RunId> = self.remote.workspace.as_ref().map(|spec| &spec.run);
        if ordered != Some(&report.run) {
            // Of an order before.
            return Ok(());
        }
        match report.error {
            Some(why) => Err(Error::Workspace(why)),
            None => {
                self.outgoing.extend(self.remote.deferred.take());
                Ok(())
            }
        }
    }
}
