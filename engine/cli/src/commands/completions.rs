//! `plue completions`: a completion script on standard output.

use clap::CommandFactory as _;

use crate::{
    args::{Cli, CompletionsArgs},
    exit::Exit,
    failure::Outcome,
    output,
};

pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "plue", &mut script);
    output::bytes(&script)?;
    Ok(Exit::Ok)
}
