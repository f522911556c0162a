//! `plue git branch create`: a branch for the work on a task.

use std::{path::PathBuf, process::Command};

use clap::{Args, Subcommand};

use super::{list, template::slug};
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// `plue git`
#[derive(Debug, Subcommand)]
pub enum GitCommand {
    /// Branches for tasks
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
    /// Say what would be done
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
        let mut git = Command::new("git");
        git.arg("-C").arg(app.repository(args.repo.as_deref())?).args(["branch", "--", &branch]);
        let said = git.output().map_err(|error| Failure::infrastructure(&error))?;
        if !said.status.success() {
            let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            return Err(Failure::usage(format!("git made no branch: {why}")));
        }
    }
    output::line(&branch)?;
    Ok(Exit::Ok)
}
