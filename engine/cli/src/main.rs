//! `plue`, the command line. Only composes: reads arguments and configuration, calls a command,
//! prints what went wrong, and turns the result into an exit code.
#![forbid(unsafe_code)]
#![expect(unreachable_pub, reason = "a binary has no outside; `pub` is what leaves a module")]

mod app;
mod args;
mod attach;
mod browser;
mod children;
mod claude;
mod commands;
mod config;
mod connect;
mod driven;
mod exit;
mod failure;
mod follow;
mod help;
mod local_runs;
mod logging;
mod metrics;
mod output;
mod person;
mod pods;
mod records;
mod render;
mod sources;
mod terminal;
mod todo;
mod traces;
mod trail;
mod vault;
mod wiring;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use mimalloc::MiMalloc;

use crate::{app::App, args::Cli, config::Environment, exit::Exit, failure::Outcome};

/// Returns memory that glibc's arenas keep (docs/decisions/0058-mimalloc.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().or_else(help::grouped);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage_error(&error),
    };
    let environment = Environment::of_process();
    let (app, outcome) = run(cli, environment);
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            match &failure.repo {
                Some(root) => render::diagnostic::print_in(&failure.diagnostics, &app, root),
                None => render::diagnostic::print_all(&failure.diagnostics, &app),
            }
            failure.exit.into()
        }
    }
}

fn run(cli: Cli, environment: Environment) -> (App, Outcome) {
    match App::new(&cli.global, environment.clone()) {
        Ok(app) => {
            logging::listen(&app, &cli.command);
            let metrics = metrics::begin(&app);
            let outcome = commands::dispatch(cli.command, &app);
            metrics.end();
            (app, outcome)
        }
        Err(failure) => (App::fallback(environment), Err(failure)),
    }
}

/// Help and version go to stdout and are no error; a wrong command line is exit code 2.
fn usage_error(error: &clap::Error) -> ExitCode {
    let _closed = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok.into(),
        _ => Exit::Usage.into(),
    }
}
