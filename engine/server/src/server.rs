//! The server's parts and its tasks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_executor::{Engine, perform::environment::SecretSource};
use plue_planner::Planner;
use plue_runtime::{Clock, Ids, Stop, Tasks};
use plue_store::{RunRow, Store};

/// Where the secrets of a run come from. Runs of strangers never get that far.
pub trait Secrets: Send + Sync + std::fmt::Debug {
    /// The secrets that a run of a trusted change may name.
    fn of(&self, run: &RunRow) -> Arc<dyn SecretSource>;

    /// The secrets that a forge signs deliveries of a repository with, the newest first.
    fn of_hook(&self, repo: &str) -> Vec<plue_forge::Secret>;
}

/// Bounds that the operator sets.
#[derive(Debug, Clone)]
pub struct Options {
    /// Mirrors and workspaces are below it.
    pub state_dir: PathBuf,
    /// Runs that are driven at the same time.
    pub max_runs: usize,
    /// Without a wake-up the store is looked at this often.
    pub poll: Duration,
}

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Bounds.
    pub options: Options,
    /// The database.
    pub store: Store,
    /// Advances runs.
    pub engine: Engine,
    /// Makes plans.
    pub planner: Planner,
    /// Secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Time.
    pub clock: Clock,
    /// Fresh ids.
    pub ids: Ids,
    /// Tasks.
    pub tasks: Tasks,
    /// When to take nothing new.
    pub stop: Stop,
}

/// A server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server(Arc<Parts>);

// === impl Server ===

impl Server {
    /// A server that does nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Takes in deliveries, follows schedules and drives runs until it is told to stop; then waits for
    /// the runs that are driven.
    pub async fn work(&self) {
        tokio::join!(self.take_in(), self.follow_schedules(), self.drive_runs());
    }
}
