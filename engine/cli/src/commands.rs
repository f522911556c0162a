//! One file per command. Each returns how the process ends; none prints its own failure.

use plue_plan::RunId;
use plue_store::Store;

use crate::{
    app::App,
    args::Command,
    config::ValueOrigin,
    connect::folder_here,
    failure::{Failure, Outcome, from_store},
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
mod explain;
pub mod export;
pub mod git;
mod hash;
mod list;
pub mod lists;
pub(crate) mod logs;
mod migrate;
pub mod open;
pub mod plan;
pub mod pool;
pub mod prompt;
pub mod replay;
pub mod repo;
mod rerun;
mod resume;
pub mod retry;
pub mod run;
pub mod runner;
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

/// Runs a command to its exit code.
pub fn dispatch(command: Command, app: &App) -> Outcome {
    refuse_server(&command, app)?;
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
        Command::Approvals(args) => lists::approvals(&args, app),
        Command::Schedules(args) => lists::schedules(&args, app),
        Command::Schedule(command) => workflow::schedule(&command, app),
        Command::Workflow(command) => workflow::run(&command, app),
        Command::Runners(args) => lists::runners(&args, app),
        Command::Pools(args) => lists::pools(&args, app),
        Command::Runner(command) => runner::run(&command, app),
        Command::Pool(command) => pool::run(&command, app),
        Command::Usage(args) => lists::usage(&args, app),
        Command::Config(command) => config::run(&command, app),
    }
}

/// Refuses a server for a command that is about this machine only: it would silently be about another place.
fn refuse_server(command: &Command, app: &App) -> Result<(), Failure> {
    if app.loaded.config.server.is_none() {
        return Ok(());
    }
    // The configuration of a person may name a server; `--server` is meant for this command.
    let is_meant = matches!(app.origin("server"), ValueOrigin::Flag(_));
    let name = match command {
        Command::Migrate => "migrate",
        Command::Backup(_) => "backup",
        Command::Restore(_) => "restore",
        Command::Replay(_) => "replay",
        Command::Secret(secret::SecretCommand::Rotate) => "secret rotate",
        Command::Open(_) if is_meant => "open",
        Command::Doctor(_) if is_meant => "doctor",
        Command::Serve(_) if is_meant => "serve",
        _ => return Ok(()),
    };
    let message =
        format!("`plue {name}` is about this machine's runs and files only, and a server is set");
    Err(Failure::usage(message)
        .hint("leave out --server, and set PLUE_SERVER to nothing: PLUE_SERVER= plue …"))
}

/// The run of this machine that a text names: its id, the beginning of its id, or `last`.
async fn one_run(store: &Store, text: &str) -> Result<RunId, Failure> {
    if text == "last"
        && let Some(folder) = folder_here()
        && let Some(run) = plue_api::last_run::in_folder(store, &folder)
            .await
            .map_err(|error| from_store(&error))?
    {
        return Ok(run.id);
    }
    let found = store.runs().find(text, None).await.map_err(|error| from_store(&error))?;
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::not_found(format!("there is no run `{text}`")).hint("see `plue runs`")),
        _ => Err(Failure::usage(format!("`{text}` is the beginning of more than one run id"))),
    }
}
