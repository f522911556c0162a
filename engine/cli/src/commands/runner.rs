//! `plue runner`: machines of yours as runners of a server.

use clap::{Args, Subcommand};
use plue_api::records::{resources::RunnerRecord, runner::RegistrationTokenRequest};

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, server::Runners},
    render::{table, words},
};

/// `plue runner`
#[derive(Debug, Subcommand)]
pub enum RunnerCommand {
    /// Make a token that registers one machine and print it, once, on standard output
    Token(RunnerTokenArgs),
    /// List registered machines and pods
    List(ListRunnersArgs),
    /// Let a runner finish its run and get no other
    Drain(DrainRunnerArgs),
    /// Remove a runner that works for no run; its credential is refused from then on
    Remove(RemoveRunnerArgs),
}

/// `plue runner token`
#[derive(Debug, Args)]
pub struct RunnerTokenArgs {
    /// A label that steps may ask for with `runner`; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// The pool of the machine [default: registered]
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// Duration for which the token is good, at most 30 days [default: 1h]
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
}

/// `plue runner list`
#[derive(Debug, Args)]
pub struct ListRunnersArgs {
    /// Format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue runner drain`
#[derive(Debug, Args)]
pub struct DrainRunnerArgs {
    /// Its id, as `plue runner list` shows it
    #[arg(value_name = "RUNNER")]
    pub runner: String,
    /// Take it back: the runner gets runs again
    #[arg(long)]
    pub undo: bool,
}

/// `plue runner remove`
#[derive(Debug, Args)]
pub struct RemoveRunnerArgs {
    /// Its id, as `plue runner list` shows it
    #[arg(value_name = "RUNNER")]
    pub runner: String,
}

pub(super) fn run(command: &RunnerCommand, app: &App) -> Outcome {
    match command {
        RunnerCommand::Token(args) => token(args, app),
        RunnerCommand::List(args) => list(args, app),
        RunnerCommand::Drain(args) => drain(args, app),
        RunnerCommand::Remove(args) => remove(args, app),
    }
}

fn token(args: &RunnerTokenArgs, app: &App) -> Outcome {
    let request = RegistrationTokenRequest {
        pool: args.pool.clone(),
        labels: args.labels.clone(),
        expires_in: args.expires_in.clone(),
    };
    connected(app, Purpose::Write, async |connection| {
        let made = connection.client.runners().create_token(&request).await?;
        if app.verbosity >= 0 {
            output::report(&format!(
                "good for one machine until {}; there: plue-runner register --server URL --token TOKEN",
                made.expires_at
            ));
        }
        output::line(&made.token)?;
        Ok(Exit::Ok)
    })
}

fn list(args: &ListRunnersArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let mut runners = connection.client.runners().list().await?;
        runners.retain(|one| one.kind != "process");
        show(runners, args, app)
    })
}

fn show(runners: Vec<RunnerRecord>, args: &ListRunnersArgs, app: &App) -> Outcome {
    let document = Runners { schema_version: SCHEMA_VERSION, runners };
    output::list(args.output, &document, &document.runners, || {
        let rows = document.runners.iter().map(|one| {
            let state = one.executor.as_ref().unwrap_or(&one.state);
            let state = if one.draining { format!("{state}, draining") } else { state.clone() };
            let name = one.name.as_deref().unwrap_or("-");
            let (labels, seen) = (one.labels.join(", "), words::time(one.seen_at));
            let run = one.run.as_deref().unwrap_or("-");
            [&one.id, name, &one.kind, &one.pool, &labels, &state, run, &seen]
                .map(table::plain)
                .to_vec()
        });
        let head = ["RUNNER", "NAME", "KIND", "POOL", "LABELS", "STATE", "RUN", "SEEN"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    if args.output == Format::Table && app.verbosity >= 0 && document.runners.is_empty() {
        output::report("no machine is registered: make a token with `plue runner token`");
    }
    Ok(Exit::Ok)
}

fn drain(args: &DrainRunnerArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let drained = connection.client.runners().drain(&args.runner, !args.undo).await;
        drained.map_err(unknown)?;
        Ok(Exit::Ok)
    })
}

fn remove(args: &RemoveRunnerArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        connection.client.runners().remove(&args.runner).await.map_err(unknown)?;
        Ok(Exit::Ok)
    })
}

fn unknown(error: plue_client::Error) -> Failure {
    Failure::from(error).hint_if_not_found("see `plue runner list`")
}
