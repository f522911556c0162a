//! The part of the Kubernetes API that a pool needs, in plue's own words.

use std::{fmt::Debug, future::Future, pin::Pin};

use plue_plan::RunnerId;

use crate::machine::{PodUid, PodView};

/// Answer of the API server, later.
pub type ApiFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// Outcome of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The pod is gone, or will be after its grace period.
    Accepted,
    /// There is no pod of this name.
    Missing,
    /// The pod of this name is another one.
    OtherPod,
}

/// An error of the API server, by its consequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The pod will be refused until quota, permission or template change.
    #[error("the API server refuses the pod: {0}")]
    Refused(String),
    /// The name belongs to a pod that is not ours.
    #[error("a foreign pod has the name {0}")]
    NameTaken(String),
    /// The outcome is unknown or the server is busy; the next pass repeats the call.
    #[error("the API server did not answer: {0}")]
    Unavailable(String),
}

/// The pods of one pool.
pub trait PodApi: Debug + Send + Sync {
    /// Creates the pod of a runner, or finds the one that an earlier call created.
    fn create(&self, runner: &RunnerId) -> ApiFuture<'_, PodUid>;

    /// All pods with the pool's label, of the present and not of a cache.
    fn list(&self) -> ApiFuture<'_, Vec<PodView>>;

    /// Deletes a pod if it is this one.
    fn delete(&self, name: &str, uid: &PodUid) -> ApiFuture<'_, Deleted>;
}
