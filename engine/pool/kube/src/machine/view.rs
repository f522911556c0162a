//! Rows and pods as the machine sees them.

use std::fmt;

use jiff::Timestamp;
use plue_plan::RunnerId;
use plue_store::RunnerState;

/// Identity of a pod: never used twice, unlike its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(pub String);

/// A row of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowView {
    /// Runner that the row is of.
    pub runner: RunnerId,
    /// Its state; never gone.
    pub state: RunnerState,
    /// A run has the runner.
    pub claimed: bool,
    /// Its pod, once known.
    pub pod: Option<PodUid>,
    /// Hash of the template its pod was made from.
    pub template: String,
    /// Time of the insertion.
    pub registered_at: Timestamp,
    /// Time of the last change of state.
    pub since: Timestamp,
    /// Last sign of life of its session.
    pub seen_at: Timestamp,
}

/// A pod with the pool's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Name, made from the runner id.
    pub name: String,
    /// Identity that is never used twice.
    pub uid: PodUid,
    /// The runner that its label names.
    pub runner: RunnerId,
    /// Its owner is the object that owns all pods of this installation.
    pub owned: bool,
    /// Creation time by the API server's clock.
    pub created_at: Timestamp,
    /// Phase, with the cause of an end.
    pub phase: PodPhase,
    /// Its deletion was requested.
    pub deleting: bool,
    /// A container was restarted, against the pod's restart policy.
    pub restarted: bool,
    /// The reason that it does not run yet.
    pub obstacle: Option<PodObstacle>,
}

/// Phase of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers have started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers have ended. Proves nothing about a step: an evicted pod may exit with 0.
    Ended(PodEnd),
}

/// Cause of a pod's end, as far as its status shows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodEnd {
    /// The kubelet evicted it.
    Evicted,
    /// A container exceeded its memory limit.
    OutOfMemory,
    /// The scheduler preempted it, or its node was drained.
    Preempted,
    /// Its node was lost.
    NodeLost,
    /// No cause is known.
    Exited,
}

/// The reason that a pod does not run, in the words of kubelet or scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodObstacle {
    /// No node has room for it. Waiting may help.
    Unschedulable(String),
    /// It can never start: image, configuration or a container that crashes.
    Broken(String),
}

// === impl PodUid ===

impl fmt::Display for PodUid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

// === impl RowView ===

impl RowView {
    /// It waits for a run, or will.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.claimed && matches!(self.state, RunnerState::Warming | RunnerState::Ready)
    }
}

// === impl PodEnd ===

impl PodEnd {
    /// Reason of a runner's end, for people and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "its pod was evicted",
            Self::OutOfMemory => "its pod exceeded its memory limit",
            Self::Preempted => "its pod was preempted",
            Self::NodeLost => "its node was lost",
            Self::Exited => "its pod ended",
        }
    }
}
