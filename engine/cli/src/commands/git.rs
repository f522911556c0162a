//! `plue git branch create`: a branch for the work on a task.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use plue_plan::budget::Budget;
use plue_runtime::foreign::{
    git,
    process::{ProcessError, ProcessLimits},
};

use super::{list, template::slug};
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// The limits of making a branch.
const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 64 * 1024, items: 1_000, steps: u64::MAX },
    wall: Duration::from_secs(60),
    cpu: Duration::from_secs(60),
    memory: 512 * 1024 * 1024,
};

/// `plue git`
#[derive(Debug, Subcommand)]
pub enum GitCommand {
    /// Create branches for tasks
    #[command(subcommand)]
    Branch(BranchCommand),
}

/// `plue git branch`
#[derive(Debug, Subcommand)]
pub enum BranchCommand {
    /// Make the branch `plue/TASK` at the commit that is checked out; does not switch to it
    Create(CreateBranchArgs),
}

/// `plue git branch create`
#[derive(Debug, Args)]
pub struct CreateBranchArgs {
    /// The name of a workflow
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Print what would be done
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) fn run(command: &GitCommand, app: &App) -> Outcome {
    let GitCommand::Branch(BranchCommand::Create(args)) = command;
    let known = list::workflows(args.repo.as_deref(), app)?;
    if !known.iter().any(|workflow| workflow.name.as_deref() == Some(args.task.as_str())) {
        return Err(Failure::not_found(format!("there is no task `{}`", args.task))
            .hint("see `plue plan list`"));
    }
    let branch = format!("plue/{}", slug(&args.task));
    if !args.dry_run {
        let repository = app.repository(args.repo.as_deref())?;
        let git = git::in_work_tree(LIMITS).arg("-C").arg(repository);
        match git.args(["branch", "--", &branch]).read_blocking() {
            Ok(_) => {}
            Err(ProcessError::Start { source, .. }) => {
                return Err(Failure::infrastructure(&source));
            }
            Err(why) => return Err(Failure::usage(format!("git made no branch: {why}"))),
        }
    }
    output::line(&branch)?;
    Ok(Exit::Ok)
}
