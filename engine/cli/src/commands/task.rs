//! `plue plan list|create|status`: workflows as tasks, each with its last run.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{list, status, template};
use crate::{
    app::App,
    args::{Format, ListArgs, StatusArgs},
    connect::{Connection, Purpose},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{RunRecord, SCHEMA_VERSION, TaskRecord, Tasks},
    render::{table, words},
    terminal::Style,
    wiring,
};

/// `plue plan list|create|status`
#[derive(Debug, Subcommand, Clone)]
pub enum TaskCommand {
    /// List tasks: the workflows of the repository, each with its last run
    List(ListTasksArgs),
    /// Write a new task from the template `sample`
    Create(CreateArgs),
    /// Show a task and its last run
    Status(TaskArgs),
}

/// `plue plan list`
#[derive(Debug, Args, Clone)]
pub struct ListTasksArgs {
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue plan create`
#[derive(Debug, Args, Clone)]
pub struct CreateArgs {
    /// Name of the task
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
}

/// `plue plan status`
#[derive(Debug, Args, Clone)]
pub struct TaskArgs {
    /// The name of a workflow
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Output format of the task
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(command: &TaskCommand, app: &App) -> Outcome {
    match command {
        TaskCommand::List(args) => {
            print(tasks(args.repo.as_ref(), app, None)?, args.output, app)?;
            Ok(Exit::Ok)
        }
        TaskCommand::Create(args) => {
            let fill = template::FillArgs {
                template: "sample".to_owned(),
                name: Some(args.task.clone()),
                set: Vec::new(),
                steps: Vec::new(),
                lang: template::Language::default(),
            };
            template::new(&template::NewArgs { fill, repo: args.repo.clone(), file: None }, app)
        }
        TaskCommand::Status(args) => {
            let found = tasks(args.repo.as_ref(), app, Some(&args.task))?;
            let Some(task) = found.first() else {
                return Err(Failure::not_found(format!("there is no task `{}`", args.task))
                    .hint("see `plue plan list`"));
            };
            let run = task.run.as_ref().map(|run| run.id.clone());
            print(found, args.output, app)?;
            match (run, args.output) {
                (Some(run), Format::Table) => {
                    output::text("\n")?;
                    status::run(&StatusArgs { run, output: Format::Table }, app)
                }
                (None, Format::Table) | (_, Format::Json | Format::Jsonl) => Ok(Exit::Ok),
            }
        }
    }
}

/// Every workflow that is one, or those of a name, with its newest run.
fn tasks(
    repo: Option<&PathBuf>,
    app: &App,
    only: Option<&str>,
) -> Result<Vec<TaskRecord>, Failure> {
    let workflows = list::workflows(repo.map(PathBuf::as_path), app)?.into_iter();
    let named = workflows.filter_map(|workflow| Some((workflow.name?, workflow.file)));
    let named = named.filter(|(name, _)| only.is_none_or(|only| only == name));
    let (names, files): (Vec<String>, Vec<String>) = named.unzip();
    let runs = last_runs(&names, app)?;
    let all = names.into_iter().zip(files).zip(runs);
    Ok(all.map(|((task, file), run)| TaskRecord { task, file, run }).collect())
}

/// The newest run of each workflow.
fn last_runs(workflows: &[String], app: &App) -> Result<Vec<Option<RunRecord>>, Failure> {
    wiring::block_on(async {
        let connection = match Connection::open(app, Purpose::Read).await {
            Ok(connection) => connection,
            // A machine without runs.
            Err(failure) if failure.exit == Exit::NotFound => {
                return Ok(workflows.iter().map(|_| None).collect());
            }
            Err(failure) => return Err(failure),
        };
        let mut runs = Vec::new();
        for workflow in workflows {
            runs.push(connection.client.runs().last_of(workflow).await?);
        }
        Ok(runs)
    })
}

fn print(tasks: Vec<TaskRecord>, format: Format, app: &App) -> Result<(), Failure> {
    let document = Tasks { schema_version: SCHEMA_VERSION, tasks };
    output::list(format, &document, &document.tasks, || {
        let cells = document.tasks.iter().map(|task| {
            let status = task.run.as_ref().map(|run| run.status.as_str());
            let style = status.and_then(|status| status.parse().ok()).map(words::run_style);
            let run = task.run.as_ref();
            vec![
                table::plain(&task.task),
                (status.unwrap_or("never ran").to_owned(), style.unwrap_or(Style::Dim)),
                table::plain(run.map_or("-".to_owned(), |run| run.id.clone())),
                table::plain(&task.file),
            ]
        });
        let head = ["TASK", "STATUS", "LAST RUN", "FILE"];
        table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
    })
}

/// `plue orchestration`
#[derive(Debug, Subcommand)]
pub enum OrchestrationCommand {
    /// List the workflows of a repository: `plue list`
    List(ListArgs),
    /// Run a workflow, as a rule with `--goal`: `plue run`
    Run(Box<crate::args::RunArgs>),
}

/// `plue build`
#[derive(Debug, Subcommand)]
pub enum BuildCommand {
    /// Run a task: `plue run`
    Run(crate::args::RunArgs),
}
