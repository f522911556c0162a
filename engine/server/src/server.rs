//! The server's parts and its tasks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_executor::Engine;
use plue_planner::Planner;
use plue_runtime::{Clock, Ids, Stop, Tasks};
use plue_store::{Store, secret::Keyring};

/// Bounds that the operator sets.
#[derive(Debug, Clone)]
pub struct Options {
    /// Mirrors and workspaces are below it.
    pub state_dir: PathBuf,
    /// Runs that are driven at the same time.
    pub max_runs: usize,
    /// Without a wake-up the store is looked at this often.
    pub poll: Duration,
    /// Address of this server for people, as forges link to it; none: they get no links.
    pub public_url: Option<String>,
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
    /// Opens secrets; none: there are no secrets, and no webhook is believed.
    pub keys: Option<Keyring>,
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

    /// Takes in deliveries, follows schedules, drives runs and tells forges until it is told to stop; then waits for
    /// the runs that are driven.
    pub async fn work(&self) {
        tokio::join!(
            self.take_in(),
            self.follow_schedules(),
            self.drive_runs(),
            self.tell_forges()
        );
    }
}
