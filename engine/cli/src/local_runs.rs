//! Retries and reruns of this machine: runs use the work tree, and the command that asks for them drives them.

use std::path::PathBuf;

use futures::{FutureExt as _, future::BoxFuture};
use plue_api::{
    CommandError, RunRequest,
    commands::{RerunRequest, RetryRequest, RunCommands},
    records::retry::RestoredFiles,
};
use plue_executor::{
    Engine, Loaded, Origin, Submission, perform::environment::GivenSecrets,
    rerun::put_back_artifacts,
};
use plue_flow::input::Reopen;
use plue_plan::{HashedPlan, RunId, StepId};
use plue_runtime::Stop;
use plue_server::{
    put_back::{not_restored, put_back},
    rerun::part_of,
};
use plue_store::Store;

use crate::{exit::Exit, failure::from_executor};

/// Implements commands about runs without a server.
#[derive(Debug)]
pub struct LocalRuns {
    /// Database of the runs.
    pub store: Store,
    /// Drives runs; `None`: the command does not.
    pub engine: Option<Engine>,
    /// Folder for copies of overwritten files.
    pub aside: PathBuf,
}

// === impl RunCommands ===

impl RunCommands for LocalRuns {
    fn submit(
        &self,
        _: RunId,
        _: RunRequest,
        _: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        let why = "runs of this machine are started from the work tree: plue run";
        async move { Err(CommandError::Unfit(why.to_owned())) }.boxed()
    }

    fn retry(
        &self,
        run: RunId,
        request: RetryRequest,
        by: String,
    ) -> BoxFuture<'_, Result<RestoredFiles, CommandError>> {
        async move { self.reopen(&run, request, &by).await }.boxed()
    }

    fn rerun(
        &self,
        id: RunId,
        old: RunId,
        request: RerunRequest,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.repeat(id, &old, request).await }.boxed()
    }
}

// === impl LocalRuns ===

impl LocalRuns {
    fn engine(&self) -> Result<&Engine, CommandError> {
        self.engine.as_ref().ok_or_else(|| {
            CommandError::Unfit(
                "no server drives runs here: use plue retry RUN, or plue rerun RUN".to_owned(),
            )
        })
    }

    async fn reopen(
        &self,
        run: &RunId,
        request: RetryRequest,
        by: &str,
    ) -> Result<RestoredFiles, CommandError> {
        let engine = self.engine()?;
        refuse_imported(&self.store, run).await?;
        let reopen = match request.from {
            Some(step) => Reopen::From(StepId::new(step)),
            None => Reopen::Failed,
        };
        let restored = put_back(engine, run, Some(&reopen), request.files, &self.aside).await;
        let restored = restored.map_err(|error| match &error {
            plue_executor::Error::Conflict { .. } => not_restored(&error),
            error => refused(error),
        })?;
        let secrets = std::sync::Arc::new(GivenSecrets::default());
        let reopened = engine.reopen_queued(run, (by, reopen), secrets, Stop::never()).await;
        reopened.map(|()| restored).map_err(|error| refused(&error))
    }

    async fn repeat(
        &self,
        id: RunId,
        old: &RunId,
        request: RerunRequest,
    ) -> Result<(), CommandError> {
        let engine = self.engine()?;
        let loaded = Loaded::read(&self.store, old).await.map_err(|error| refused(&error))?;
        let unreadable = |error: serde_json::Error| CommandError::Conflict(error.to_string());
        let part = part_of(&loaded, &request)?;
        let workspace = &loaded.origin.workspace;
        let files = put_back_artifacts(&self.store, &part.carried, workspace).await;
        files.map_err(|error| refused(&error))?;
        let plan = HashedPlan::new((*loaded.plan).clone())
            .map_err(|problem| CommandError::Invalid(vec![problem]))?;
        let submission = Submission {
            plan,
            source: loaded.source.source,
            event: serde_json::from_value(loaded.source.event).map_err(unreadable)?,
            inputs: serde_json::from_value(loaded.source.inputs).map_err(unreadable)?,
            origin: Origin { parent: None, traceparent: None, replay: None, ..loaded.origin },
            only: part.only,
            carried: part.carried,
        };
        let submitted = engine.submit_as(id, submission).await;
        submitted.map(drop).map_err(|error| refused(&error))
    }
}

/// A run from a file has no workspace here.
///
/// # Errors
/// It is one; the database.
pub async fn refuse_imported(store: &Store, run: &RunId) -> Result<(), CommandError> {
    let imported = store.archive().imported(run).await;
    let imported = imported.map_err(|error| CommandError::Failed(Box::new(error.diagnostic())))?;
    imported.map_or(Ok(()), |_| {
        Err(CommandError::Conflict(format!(
            "run {run} came from a file and can only be read; start a new run with `plue run`"
        )))
    })
}

/// An error of the engine with its message and advice.
fn refused(error: &plue_executor::Error) -> CommandError {
    let failure = from_executor(error);
    let mut problems = failure.diagnostics.into_iter();
    match (failure.exit, problems.next()) {
        (Exit::Usage, _) => CommandError::Conflict(error.to_string()),
        (Exit::NotFound, _) | (_, None) => CommandError::NotFound(error.to_string()),
        (_, Some(problem)) => CommandError::Failed(Box::new(problem)),
    }
}
