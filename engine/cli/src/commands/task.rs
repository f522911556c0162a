//! `plue plan list|create|status`: workflows as tasks, each with its last run.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use plue_store::{RunFilter, RunRow, Store};

use super::{list, status, template};
use crate::{
    app::App,
    args::{Format, ListArgs, StatusArgs},
    exit::Exit,
    failure::{Failure, Outcome, from_store},
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
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue plan create`
#[derive(Debug, Args, Clone)]
pub struct CreateArgs {
    /// What the task is called
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
    /// How it is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

impl TaskCommand {
    /// Whether it says something about runs.
    pub fn shows_runs(&self) -> bool {
        match self {
            Self::List(_) | Self::Status(_) => true,
            Self::Create(_) => false,
        }
    }
}

pub(super) fn run(command: &TaskCommand, app: &App) -> Outcome {
    let show = |run| status::run(&StatusArgs { run, output: Format::Table }, app);
    run_with(command, app, |tasks| here(tasks, app), show)
}

/// The same wherever the runs are: `last` finds the newest of each workflow, `show` shows one.
pub(crate) fn run_with(
    command: &TaskCommand,
    app: &App,
    last: impl FnOnce(&[String]) -> Result<Vec<Option<RunRecord>>, Failure>,
    show: impl FnOnce(String) -> Outcome,
) -> Outcome {
    match command {
        TaskCommand::List(args) => {
            print(tasks(args.repo.as_ref(), app, None, last)?, args.output, app)?;
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
            let found = tasks(args.repo.as_ref(), app, Some(&args.task), last)?;
            let Some(task) = found.first() else {
                return Err(Failure::not_found(format!("there is no task `{}`", args.task))
                    .hint("see `plue plan list`"));
            };
            let run = task.run.as_ref().map(|run| run.id.clone());
            print(found, args.output, app)?;
            match (run, args.output) {
                (Some(run), Format::Table) => {
                    output::text("\n")?;
                    show(run)
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
    last: impl FnOnce(&[String]) -> Result<Vec<Option<RunRecord>>, Failure>,
) -> Result<Vec<TaskRecord>, Failure> {
    let workflows = list::workflows(repo.map(PathBuf::as_path), app)?.into_iter();
    let named = workflows.filter_map(|workflow| Some((workflow.name?, workflow.file)));
    let named = named.filter(|(name, _)| only.is_none_or(|only| only == name));
    let (names, files): (Vec<String>, Vec<String>) = named.unzip();
    let runs = last(&names)?;
    let all = names.into_iter().zip(files).zip(runs);
    Ok(all.map(|((task, file), run)| TaskRecord { task, file, run }).collect())
}

/// The newest runs on this machine.
fn here(tasks: &[String], app: &App) -> Result<Vec<Option<RunRecord>>, Failure> {
    wiring::block_on(async {
        let store = match wiring::open_existing(app).await {
            Ok(store) => store,
            // Nothing has run here yet.
            Err(failure) if failure.exit == Exit::NotFound => {
                return Ok(tasks.iter().map(|_| None).collect());
            }
            Err(failure) => return Err(failure),
        };
        let mut runs = Vec::new();
        for task in tasks {
            runs.push(last(&store, task).await?.as_ref().map(RunRecord::of));
        }
        Ok(runs)
    })
}

/// The newest run of a workflow.
pub(super) async fn last(store: &Store, workflow: &str) -> Result<Option<RunRow>, Failure> {
    let filter =
        RunFilter { workflow: Some(workflow.to_owned()), limit: 1, ..RunFilter::default() };
    let rows = store.runs().list(&filter).await.map_err(|error| from_store(&error))?;
    Ok(rows.into_iter().next())
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
