//! `plue completions`: a completion script on standard output.

use clap::CommandFactory as _;

use crate::{
    args::{Cli, CompletionsArgs},
    exit::Exit,
    failure::Outcome,
};

#[expect(clippy::unnecessary_wraps, reason = "every command has the same signature")]
pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    clap_complete::generate(args.shell, &mut Cli::command(), "plue", &mut std::io::stdout());
    Ok(Exit::Ok)
}
