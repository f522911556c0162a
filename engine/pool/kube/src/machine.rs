//! The pool as a pure machine: rows, pods, demand and time in, actions out.
//!
//! A decision holds only for the snapshot it was made from, which is stale when it is carried out.
//! Each [`Action`] therefore names the compare-and-set that must still hold; its executor skips it
//! otherwise. Rows must be read before pods: a row without its pod is lost only then.

mod backoff;
mod bucket;
mod reconcile;
mod reuse;
mod size;
mod view;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plue_plan::RunnerId;

pub use self::{
    backoff::{Backoff, DEGRADED_AFTER},
    bucket::{Bucket, CREATES_PER_SECOND},
    reconcile::{
        CREATE_TIMEOUT, DRAIN_GRACE, ORPHAN_AGE, READY_TIMEOUT, SESSION_TIMEOUT,
        UNSCHEDULABLE_RECHECK,
    },
    reuse::{NotReusable, Reuse, RunnerUse, Scope},
    size::{Demand, Size},
    view::{PodEnd, PodObstacle, PodPhase, PodUid, PodView, RowView},
};

/// Settings of a pool that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// Hash of the pod template.
    pub template: String,
    /// Bounds of the number of runners.
    pub size: Size,
    /// Treatment of idle runners of an older template.
    pub strategy: Strategy,
    /// The pool accepts no further work and ends its idle runners.
    pub draining: bool,
}

/// Treatment of idle runners of an older template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// End them at once.
    Recreate,
    /// Keep them until they are used.
    OnReplenish,
}

/// State between two decisions. Losing it delays or hastens creations and loses nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bounds the rate of creations.
    pub bucket: Bucket,
    /// Delays creations after failures.
    pub backoff: Backoff,
    /// Start of the present surplus of idle runners.
    pub surplus_since: Option<Timestamp>,
}

/// Input of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// All rows of the pool that are not gone, read first.
    pub rows: &'a [RowView],
    /// All pods with the pool's label, from one complete list, read second. `None`: the API server
    /// did not answer, so that nothing is concluded from a missing pod.
    pub pods: Option<&'a [PodView]>,
    /// Demand at the time of the rows.
    pub demand: Demand,
    /// Time of the decision.
    pub now: Timestamp,
}

/// One action, with the condition under which it may still be carried out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Insert a row, then create its pod. Only under the current lease of the pool, while fewer than
    /// `target` rows are idle and fewer than `max` exist.
    Create {
        /// Number of idle runners to reach.
        target: u32,
        /// Number of runners never to exceed.
        max: u32,
    },
    /// Create the pod of a row again: its name is fixed, so that a second pod is impossible.
    CreatePod {
        /// Runner of the row.
        runner: RunnerId,
    },
    /// Record the pod of a row that has none recorded.
    Bind {
        /// Runner of the row.
        runner: RunnerId,
        /// Pod to record in it.
        uid: PodUid,
    },
    /// Take an idle runner out of service. Only while no run has it.
    Drain {
        /// Runner of the row.
        runner: RunnerId,
        /// Cause, as `plue pool` shows it.
        reason: String,
    },
    /// Mark a row as gone. Only while the recorded pod is `uid`, and with `unclaimed` only while no
    /// run has the runner.
    Gone {
        /// Runner of the row.
        runner: RunnerId,
        /// The pod as recorded in the row.
        uid: Option<PodUid>,
        /// Only without a run.
        unclaimed: bool,
        /// Cause, as `plue pool` shows it.
        reason: String,
    },
    /// Delete a pod whose row is draining. Only with the pod's uid as precondition.
    Delete {
        /// Name of the pod.
        name: String,
        /// Precondition of the deletion.
        uid: PodUid,
    },
    /// Delete a pod without a live row. Only if the row, read again now, is gone, or was never there
    /// and the pod is `old`; with the pod's uid as precondition.
    Collect {
        /// The runner that the pod's label names.
        runner: RunnerId,
        /// Name of the pod.
        name: String,
        /// Precondition of the deletion.
        uid: PodUid,
        /// The pod is too old for its row to be still on its way.
        old: bool,
    },
}

/// A disagreement between rows, pods and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftClass {
    /// A row whose pod does not exist.
    RowWithoutPod,
    /// A pod of ours without a live row.
    PodWithoutRow,
    /// A pod that is not the one its row has recorded.
    UidMismatch,
    /// A pod that has ended, with a live row.
    TerminalPod,
    /// A pod that runs, without a live session.
    DeadSession,
    /// A pod with our label that another owner created. Never touched.
    ForeignPod,
}

/// Outcome of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Actions in the order of execution.
    pub actions: Vec<Action>,
    /// State for the next decision.
    pub memory: Memory,
    /// Number of disagreements per class.
    pub drift: BTreeMap<DriftClass, u32>,
    /// Idle runners to have.
    pub target: u32,
    /// Idle runners there are, warming ones included.
    pub idle: u32,
    /// The reason that the pool has fewer runners than it should.
    pub degraded: Option<String>,
}

// === impl DriftClass ===

impl DriftClass {
    /// All classes, for metrics and tests.
    pub const ALL: &'static [Self] = &[
        Self::RowWithoutPod,
        Self::PodWithoutRow,
        Self::UidMismatch,
        Self::TerminalPod,
        Self::DeadSession,
        Self::ForeignPod,
    ];

    /// Value of the label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RowWithoutPod => "row_without_pod",
            Self::PodWithoutRow => "pod_without_row",
            Self::UidMismatch => "uid_mismatch",
            Self::TerminalPod => "terminal_pod",
            Self::DeadSession => "dead_session",
            Self::ForeignPod => "foreign_pod",
        }
    }
}

/// Decides the next actions of a pool.
#[must_use]
pub fn decide(spec: &PoolSpec, memory: &Memory, snapshot: Snapshot<'_>) -> Decision {
    let mut decision = Decision { memory: memory.clone(), ..Decision::default() };
    let found = reconcile::reconcile(spec, snapshot, &mut decision);
    if found.ready {
        decision.memory.backoff.clear();
    }
    for failure in &found.failures {
        decision.memory.backoff.fail(snapshot.now, failure.clone());
    }
    size::resize(spec, snapshot, &found, &mut decision);
    decision.degraded = decision.memory.backoff.degraded().or(found.unschedulable);
    decision
}

#[cfg(test)]
mod tests;
