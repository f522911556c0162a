//! Services that several owners of the server share, built once from [`Parts`].

use std::sync::Arc;

use plue_executor::Engine;
use plue_store::Store;

use crate::{
    commit_cache::CommitCache, mirrors::Mirrors, plans::Plans, process::Process,
    secrets::Credentials, server::Parts, state_dir::StateDir, submit::Submitter,
    workspaces::Workspaces,
};

/// Handles to the shared services. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) process: Process,
    pub(crate) state: StateDir,
    pub(crate) credentials: Credentials,
    pub(crate) commits: Arc<CommitCache>,
    pub(crate) mirrors: Mirrors,
    pub(crate) plans: Plans,
    pub(crate) workspaces: Workspaces,
    pub(crate) submitter: Submitter,
}

// === impl Services ===

impl Services {
    pub(crate) fn new(parts: &Parts) -> Self {
        let (store, engine) = (parts.store.clone(), parts.engine.clone());
        let process = Process {
            clock: parts.clock,
            ids: parts.ids.clone(),
            tasks: parts.tasks.clone(),
            watchdog: parts.watchdog.clone(),
            stop: parts.stop.clone(),
            poll: parts.options.poll,
        };
        let state = StateDir::new(parts.options.state_dir.clone());
        let commits = Arc::new(CommitCache::default());
        let credentials = Credentials {
            store: store.clone(),
            keys: parts.keys.clone(),
            apps: parts.apps.clone(),
            clock: parts.clock,
        };
        let mirrors = Mirrors {
            state: state.clone(),
            credentials: credentials.clone(),
            commits: Arc::clone(&commits),
            process: process.clone(),
        };
        let plans = Plans {
            store: store.clone(),
            planner: parts.planner.clone(),
            commits: Arc::clone(&commits),
            process: process.clone(),
        };
        let workspaces = Workspaces {
            store: store.clone(),
            engine: engine.clone(),
            mirrors: mirrors.clone(),
            commits: Arc::clone(&commits),
            state: state.clone(),
            share_files: parts.options.share_files,
            reach: parts.options.reach.clone(),
            process: process.clone(),
        };
        let submitter = Submitter {
            store: store.clone(),
            engine: engine.clone(),
            workspaces: workspaces.clone(),
            state: state.clone(),
            process: process.clone(),
        };
        Self {
            store,
            engine,
            process,
            state,
            credentials,
            commits,
            mirrors,
            plans,
            workspaces,
            submitter,
        }
    }
}
