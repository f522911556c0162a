//! Planning sessions of this invocation: its configuration, environment and arguments for
//! [`plue_planner::session`].

use std::{path::Path, sync::Arc};

use plue_planner::{
    CommitView, Options, PlanCache,
    cache::Boxed,
    session::{self, Planned, Requested, Root, Selection, Session, WarmCache},
};
use plue_store::Store;

use crate::{app::App, args::SourceArgs, failure::Failure};

/// Plans in the database.
#[derive(Debug)]
struct StoredPlans(Store);

/// Resolves the workflows of a command line.
///
/// # Errors
/// A directory that does not exist, files of different repositories.
pub fn select<'n>(
    app: &App,
    repo: Option<&Path>,
    named: impl IntoIterator<Item = &'n str>,
) -> Result<Selection, Failure> {
    let found = app.repository(repo)?;
    let root = if repo.is_some() { Root::Named(found) } else { Root::Around(found) };
    Ok(Selection::find(root, named)?)
}

/// Starts a session; must be called inside a Tokio runtime.
///
/// # Errors
/// The evaluator cannot be started.
pub fn start(app: &App, selection: &Selection) -> Result<Session, Failure> {
    Ok(Session::start(evaluator(app), selection)?)
}

/// A session whose evaluators start when they are needed.
pub fn cold(app: &App, repo: &Path, view: Arc<dyn CommitView>) -> Session {
    Session::cold(evaluator(app), repo, view)
}

/// Plans the one workflow that a run is about.
///
/// # Errors
/// As [`session::plan_one`].
pub async fn plan_one(
    app: &App,
    selection: &Selection,
    source: &SourceArgs,
    goal: Option<&str>,
    cache: WarmCache,
) -> Result<Planned, Failure> {
    let requested = requested(app, source);
    Ok(session::plan_one(evaluator(app), selection, requested, goal, cache).await?)
}

/// The event and inputs of a command line.
pub fn requested<'a>(app: &App, source: &'a SourceArgs) -> Requested<'a> {
    Requested {
        event: source.event.as_deref(),
        inputs: &source.inputs,
        user: app.environment.get("USER"),
    }
}

/// The evaluator that is configured, one pair of processes.
pub fn evaluator(app: &App) -> Options {
    let config = &app.loaded.config.evaluator;
    let mut options = Options::new(app.program(config.binary.as_deref(), "plue-evaluator"));
    options.allow_missing.clone_from(&config.allow_missing);
    options.pairs = 1;
    options
}

/// The plans that a database holds.
pub fn stored(store: &Store) -> Arc<dyn PlanCache> {
    Arc::new(StoredPlans(store.clone()))
}

// === impl StoredPlans ===

impl PlanCache for StoredPlans {
    fn get<'c>(&'c self, key: &'c str) -> Boxed<'c, Option<Vec<u8>>> {
        Box::pin(async move {
            let found = self.0.plans().evaluation(key).await;
            let found =
                found.inspect_err(|error| tracing::debug!(%error, "failed to read cached plans"));
            found.ok().flatten().map(String::into_bytes)
        })
    }

    fn put<'c>(&'c self, key: &'c str, value: Vec<u8>) -> Boxed<'c, ()> {
        Box::pin(async move {
            let Ok(entry) = String::from_utf8(value) else { return };
            if let Err(error) = self.0.plans().put_evaluation(key, entry).await {
                tracing::debug!(%error, "failed to cache plans");
            }
        })
    }
}
