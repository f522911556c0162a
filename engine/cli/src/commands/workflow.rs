//! `plue workflow` and `plue schedule`: workflows of watched repositories, paused and resumed.

use clap::{Args, Subcommand};
use plue_api::{
    pauses::PauseTarget,
    records::workflow::{PauseRecord, WorkflowRecord},
};
use plue_plan::Trigger;
use plue_store::repo::pause::PauseScope;

use crate::{
    app::App,
    commands::lists::RecordListArgs,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, server::Workflows},
    render::{table, words},
};

/// `plue workflow`
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// List the workflows of watched repositories, and which are paused
    List(RecordListArgs),
    /// Pause a workflow: no event, schedule or person starts it until you resume it
    Pause(PauseArgs),
    /// Resume a paused workflow; what was due before does not run
    Resume(ResumeArgs),
}

/// `plue schedule`
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Pause the schedules of a workflow; other events still start it
    Pause(PauseArgs),
    /// Resume the schedules of a workflow; what was due before does not run
    Resume(ResumeArgs),
}

/// `plue workflow pause`, `plue schedule pause`
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The workflow, as `plue workflow list` shows it
    #[arg(value_name = "NAME")]
    pub workflow: String,
    /// Repository of the workflow
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
    /// Reason, shown with the pause
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `plue workflow resume`, `plue schedule resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The workflow, as `plue workflow list` shows it
    #[arg(value_name = "NAME")]
    pub workflow: String,
    /// Repository of the workflow
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
}

/// A pause or a resume.
enum Asked<'a> {
    Pause(PauseScope, &'a PauseArgs),
    Resume(PauseScope, &'a ResumeArgs),
}

pub(super) fn run(command: &WorkflowCommand, app: &App) -> Outcome {
    match command {
        WorkflowCommand::List(args) => connected(app, Purpose::Read, async |connection| {
            show(connection.client.repositories().workflows().await?, args, app)
        }),
        WorkflowCommand::Pause(args) => change(&Asked::Pause(PauseScope::Workflow, args), app),
        WorkflowCommand::Resume(args) => change(&Asked::Resume(PauseScope::Workflow, args), app),
    }
}

pub(super) fn schedule(command: &ScheduleCommand, app: &App) -> Outcome {
    match command {
        ScheduleCommand::Pause(args) => change(&Asked::Pause(PauseScope::Schedule, args), app),
        ScheduleCommand::Resume(args) => change(&Asked::Resume(PauseScope::Schedule, args), app),
    }
}

fn change(asked: &Asked<'_>, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let (client, target) = (&connection.client, asked.target());
        let changed = match asked {
            Asked::Pause(_, args) => {
                client.repositories().pause(&target, args.reason.as_deref()).await
            }
            Asked::Resume(..) => client.repositories().resume(&target).await,
        };
        changed.map_err(|error| Failure::from(error).hint("see `plue workflow list`"))?;
        confirm(asked);
        Ok(Exit::Ok)
    })
}

// === impl Asked ===

impl Asked<'_> {
    fn target(&self) -> PauseTarget {
        let (scope, workflow, repo) = match self {
            Self::Pause(scope, args) => (scope, &args.workflow, &args.repo),
            Self::Resume(scope, args) => (scope, &args.workflow, &args.repo),
        };
        PauseTarget { repo: repo.clone(), workflow: workflow.clone(), scope: *scope }
    }
}

/// Confirms a pause with the command that resumes, or confirms a resume.
fn confirm(asked: &Asked<'_>) {
    let target = asked.target();
    let words = target.words();
    let (name, repo, scope) = (&target.workflow, &target.repo, target.scope.as_str());
    match asked {
        Asked::Pause(..) => output::report(&format!(
            "{words} is paused; resume it with: plue {scope} resume {name:?} --repo {repo}"
        )),
        Asked::Resume(..) => {
            output::report(&format!("{words} is resumed; what was due before does not run"))
        }
    }
}

/// Prints workflows, or those of one repository.
fn show(found: Vec<WorkflowRecord>, args: &RecordListArgs, app: &App) -> Outcome {
    let is_wanted =
        |one: &WorkflowRecord| args.repo.as_ref().is_none_or(|repo| *repo == one.repository);
    let workflows = found.into_iter().filter(is_wanted).collect();
    let document = Workflows { schema_version: SCHEMA_VERSION, workflows };
    output::list(args.output, &document, &document.workflows, || {
        let rows = document.workflows.iter().map(|one| {
            let triggers: Vec<String> = one.triggers.iter().map(Trigger::words).collect();
            let triggers = triggers.join(", ");
            let state = state_of(one);
            let cells = [&one.repository, &one.workflow, &one.file, &triggers, &state];
            cells.map(table::plain).to_vec()
        });
        let head = ["REPOSITORY", "WORKFLOW", "FILE", "TRIGGERS", "STATE"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

fn state_of(one: &WorkflowRecord) -> String {
    match (&one.paused, &one.schedule_paused) {
        (Some(pause), _) => format!("paused {}", paused(pause)),
        (None, Some(pause)) => format!("schedule paused {}", paused(pause)),
        (None, None) => "active".to_owned(),
    }
}

/// A pause in a table: "by ada since 2026-11-22 09:00: broken".
pub(crate) fn paused(pause: &PauseRecord) -> String {
    let why = pause.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("by {} since {}{why}", pause.by, words::time(pause.since))
}
