//! Commands against a server (`--server`, `PLUE_SERVER`): the same words and the same output, from the
//! API instead of the database.
//!
//! Must not open a database or start a run here. Reading order: [`client`], then a file for each kind
//! of command.

use crate::{
    app::App,
    args::Command,
    commands::{
        doc::DocCommand,
        event::EventCommand,
        repo::RepoCommand,
        secret::SecretCommand,
        task::{BuildCommand, OrchestrationCommand, TaskCommand},
    },
    failure::{Failure, Outcome},
    wiring,
};

mod client;
mod events;
mod export;
mod follow;
mod lists;
mod logs;
mod place;
mod runs;
mod tell;
mod transcript;
mod webhooks;

use client::Client;

/// Whether a command is about this machine, whatever the server.
pub fn is_local(command: &Command) -> bool {
    match command {
        // Tasks are shown with their last run, and that is on the server.
        Command::Plan(args) => !args.task.as_ref().is_some_and(TaskCommand::shows_runs),
        Command::Validate(_)
        | Command::List(_)
        | Command::Hash(_)
        | Command::Doctor(_)
        | Command::Completions(_)
        | Command::Schema(_)
        | Command::Prompt(_)
        | Command::Git(_)
        | Command::Test(_)
        | Command::Agent(_)
        | Command::Template(_)
        | Command::Serve(_)
        | Command::Config(_)
        | Command::Open(_)
        | Command::Event(EventCommand::Decode(_))
        | Command::Orchestration(OrchestrationCommand::List(_))
        | Command::Repo(RepoCommand::Received(_)) => true,
        Command::Migrate
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Run(_)
        | Command::Runs(_)
        | Command::Status(_)
        | Command::Logs(_)
        | Command::Transcript(_)
        | Command::Cancel(_)
        | Command::Approve(_)
        | Command::Reject(_)
        | Command::Callback(_)
        | Command::Retry(_)
        | Command::Rerun(_)
        | Command::Replay(_)
        | Command::Resume(_)
        | Command::Explain(_)
        | Command::Build(_)
        | Command::Doc(_)
        | Command::Orchestration(_)
        | Command::Artifacts(_)
        | Command::Export(_)
        | Command::Secret(_)
        | Command::Event(_)
        | Command::Repo(_)
        | Command::Webhook(_)
        | Command::Audit(_)
        | Command::Approvals(_)
        | Command::Schedules(_)
        | Command::Schedule(_)
        | Command::Workflow(_)
        | Command::Runners(_)
        | Command::Pools(_)
        | Command::Usage(_)
        | Command::Token(_) => false,
    }
}

/// Runs a command against a server.
pub fn dispatch(command: Command, server: &str, app: &App) -> Outcome {
    let token = app.loaded.config.token.as_ref();
    let client = Client::new(server, token)?;
    if let Command::Plan(args) = &command
        && let Some(task) = &args.task
    {
        // Workflows are evaluated here, which has a runtime of its own.
        return tell::tasks(&client, task, app);
    }
    wiring::block_on(async {
        match command {
            Command::Migrate => Err(not_yet("migrate")),
            Command::Backup(_) => Err(not_yet("backup")),
            Command::Restore(_) => Err(not_yet("restore")),
            Command::Run(args) => runs::submit(&client, &args, app).await,
            Command::Runs(args) => runs::list(&client, &args, app).await,
            Command::Status(args) => runs::status(&client, &args, app).await,
            Command::Logs(args) => logs::run(&client, &args, app).await,
            Command::Transcript(args) => transcript::run(&client, &args, app).await,
            Command::Cancel(args) => runs::cancel(&client, &args, app).await,
            Command::Approve(args) => runs::decide(&client, &args, true).await,
            Command::Reject(args) => runs::decide(&client, &args, false).await,
            Command::Callback(args) => runs::callback(&client, &args).await,
            Command::Retry(args) => runs::retry(&client, &args, app).await,
            Command::Rerun(args) => runs::rerun(&client, &args, app).await,
            Command::Secret(SecretCommand::Rotate) => Err(not_yet("secret rotate")),
            Command::Secret(command) => place::secret(&client, &command, app).await,
            Command::Repo(command) => place::repo(&client, &command, app).await,
            Command::Audit(args) => lists::audit(&client, &args, app).await,
            Command::Approvals(args) => lists::approvals(&client, &args, app).await,
            Command::Schedules(args) => lists::schedules(&client, &args, app).await,
            Command::Schedule(command) => lists::schedule(&client, &command).await,
            Command::Workflow(command) => lists::workflow(&client, &command, app).await,
            Command::Runners(args) => lists::runners(&client, &args, app).await,
            Command::Pools(args) => lists::pools(&client, &args, app).await,
            Command::Usage(args) => lists::usage(&client, &args, app).await,
            Command::Webhook(command) => webhooks::run(&client, &command, app).await,
            Command::Replay(_) => Err(not_yet("replay")),
            Command::Resume(args) => tell::resume(&client, &args).await,
            Command::Explain(args) => tell::explain(&client, &args, app).await,
            Command::Build(BuildCommand::Run(args)) => runs::submit(&client, &args, app).await,
            Command::Orchestration(OrchestrationCommand::Run(args)) => {
                runs::submit(&client, &args, app).await
            }
            Command::Doc(DocCommand::Generate(args)) => tell::doc(&client, &args).await,
            Command::Artifacts(args) => runs::artifacts(&client, &args, app).await,
            Command::Export(args) => export::run(&client, &args, app).await,
            Command::Event(EventCommand::Emit(args)) => tell::emit(&client, &args).await,
            Command::Event(command) => place::event(&client, &command, app).await,
            Command::Token(command) => place::token(&client, &command, app).await,
            Command::Plan(_)
            | Command::Validate(_)
            | Command::List(_)
            | Command::Hash(_)
            | Command::Doctor(_)
            | Command::Completions(_)
            | Command::Schema(_)
            | Command::Prompt(_)
            | Command::Git(_)
            | Command::Test(_)
            | Command::Agent(_)
            | Command::Template(_)
            | Command::Serve(_)
            | Command::Open(_)
            | Command::Orchestration(OrchestrationCommand::List(_))
            | Command::Config(_) => Err(not_yet("this")),
        }
    })
}

/// A command that would silently be about another place.
fn not_yet(name: &str) -> Failure {
    Failure::usage(format!("`plue {name}` works on this machine's runs only, and a server is set"))
        .hint("leave out --server, and set PLUE_SERVER to nothing: PLUE_SERVER= plue …")
}
