//! `plue test`: parts of workflows, each by itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    app::App,
    args::{Format, SourceArgs},
    failure::Outcome,
};

mod cases;
mod program;
mod transform;

/// `plue test`
#[derive(Debug, Subcommand)]
pub enum TestCommand {
    /// Check what a step makes of values: what it is given, and what it puts out
    Transform(TransformArgs),
}

/// `plue test transform`
#[derive(Debug, Args)]
pub struct TransformArgs {
    /// A workflow file or the name of a workflow
    #[arg(value_name = "FILE|NAME")]
    pub workflow: String,
    /// Id of the step
    #[arg(value_name = "STEP")]
    pub step: String,
    /// The cases: values that the step reads, and what is expected
    #[arg(long, value_name = "FILE.json")]
    pub cases: PathBuf,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Output format of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(command: &TestCommand, app: &App) -> Outcome {
    let TestCommand::Transform(args) = command;
    transform::run(args, app)
}
