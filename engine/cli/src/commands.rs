//! One file per command. Each returns how the process ends; none prints its own failure.

use std::path::Path;

use plue_plan::RunId;
use plue_store::{RepoRow, RunFilter, Store};

use crate::{
    app::{App, repository_root},
    args::Command,
    failure::{Failure, Outcome, from_store},
    remote,
};

pub mod agent;
pub mod artifacts;
pub mod audit;
pub mod backup;
pub mod callback;
mod cancel;
mod completions;
mod config;
pub mod decide;
pub mod doc;
mod doctor;
pub mod event;
pub(crate) mod explain;
pub mod export;
pub mod git;
mod hash;
mod list;
pub(crate) mod logs;
mod migrate;
pub mod open;
pub mod place;
pub mod plan;
pub mod prompt;
pub mod replay;
pub mod repo;
mod rerun;
mod resume;
pub mod retry;
mod run;
pub(crate) mod runs;
mod schema;
pub mod secret;
pub mod serve;
pub(crate) mod status;
pub mod task;
pub mod template;
pub mod test;
pub mod token;
pub mod transcript;
mod validate;
pub mod webhook;
pub mod workflow;

/// Runs that `last` looks through for one of this repository.
const LOOKED_AT: u32 = 50;

/// Runs a command.
pub fn dispatch(command: Command, app: &App) -> Outcome {
    if let Some(server) = &app.loaded.config.server
        && !remote::is_local(&command)
    {
        return remote::dispatch(command, server, app);
    }
    match command {
        Command::Run(args) => run::run(args, app),
        Command::Plan(args) => plan::run(args, app),
        Command::Validate(args) => validate::run(&args, app),
        Command::List(args) => list::run(&args, app),
        Command::Runs(args) => runs::run(&args, app),
        Command::Status(args) => status::run(&args, app),
        Command::Logs(args) => logs::run(&args, app),
        Command::Transcript(args) => transcript::run(&args, app),
        Command::Cancel(args) => cancel::run(&args, app),
        Command::Approve(args) => decide::run(&args, true, app),
        Command::Reject(args) => decide::run(&args, false, app),
        Command::Callback(args) => callback::run(&args, app),
        Command::Retry(args) => retry::run(&args, app),
        Command::Rerun(args) => rerun::run(&args, app),
        Command::Replay(args) => replay::run(&args, app),
        Command::Resume(args) => resume::run(&args, app),
        Command::Explain(args) => explain::run(&args, app),
        Command::Artifacts(args) => artifacts::run(&args, app),
        Command::Export(args) => export::run(&args, app),
        Command::Open(args) => open::run(&args, app),
        Command::Migrate => migrate::run(app),
        Command::Backup(args) => backup::run(&args, app),
        Command::Restore(args) => backup::restore(&args, app),
        Command::Hash(args) => hash::run(&args),
        Command::Doctor(args) => doctor::run(&args, app),
        Command::Completions(args) => completions::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Prompt(command) => prompt::run(&command, app),
        Command::Build(task::BuildCommand::Run(args)) => run::run(args, app),
        Command::Orchestration(task::OrchestrationCommand::List(args)) => list::run(&args, app),
        Command::Orchestration(task::OrchestrationCommand::Run(args)) => run::run(*args, app),
        Command::Doc(command) => doc::run(&command, app),
        Command::Git(command) => git::run(&command, app),
        Command::Test(command) => test::run(&command, app),
        Command::Agent(command) => agent::run(&command, app),
        Command::Secret(command) => secret::run(&command, app),
        Command::Template(command) => template::run(&command, app),
        Command::Event(command) => event::run(&command, app),
        Command::Serve(args) => serve::run(&args, app),
        Command::Repo(command) => repo::run(&command, app),
        Command::Token(command) => token::run(&command, app),
        Command::Webhook(command) => webhook::run(&command, app),
        Command::Audit(args) => audit::run(&args, app),
        Command::Approvals(args) => place::approvals(&args, app),
        Command::Schedules(args) => place::schedules(&args, app),
        Command::Schedule(command) => workflow::schedule(&command, app),
        Command::Workflow(command) => workflow::run(&command, app),
        Command::Runners(args) => place::runners(&args, app),
        Command::Pools(args) => place::pools(&args, app),
        Command::Usage(args) => place::usage(&args, app),
        Command::Config(command) => config::run(&command, app),
    }
}

/// The run that a text names: its id, the beginning of its id, or `last`.
async fn one_run(store: &Store, text: &str) -> Result<RunId, Failure> {
    if text == "last"
        && let Some(run) = last_here(store).await?
    {
        return Ok(run);
    }
    let found = store.runs().find(text, None).await.map_err(|error| from_store(&error))?;
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::not_found(format!("there is no run `{text}`")).hint("see `plue runs`")),
        _ => Err(Failure::usage(format!("`{text}` is the beginning of more than one run id"))),
    }
}

/// The repository `owner/name`; `not found` with a hint if it is not watched.
async fn watched_repo(store: &Store, name: &str) -> Result<RepoRow, Failure> {
    let repo = store.repos().get(name).await.map_err(|error| from_store(&error))?;
    repo.ok_or_else(|| {
        Failure::not_found(format!("`{name}` is not watched")).hint("see `plue repo list`")
    })
}

/// The newest run of the repository around the current directory, if one of the last ones is.
async fn last_here(store: &Store) -> Result<Option<RunId>, Failure> {
    let Ok(here) = std::env::current_dir() else { return Ok(None) };
    let root = repository_root(&here);
    let root = root.canonicalize().unwrap_or(root);
    let filter = RunFilter { without_children: true, limit: LOOKED_AT, ..RunFilter::default() };
    for row in store.runs().list(&filter).await.map_err(|error| from_store(&error))? {
        let source =
            store.outputs().source_of_run(&row.id).await.map_err(|error| from_store(&error))?;
        let of = source.and_then(|source| Some(source.origin["repository"].as_str()?.to_owned()));
        if of.is_some_and(|of| Path::new(&of) == root) {
            return Ok(Some(row.id));
        }
    }
    Ok(None)
}
