//! The command line as Clap sees it. Names and meaning are contract (`docs/reference/cli.md`).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Workflows as Python that become plans you can read, diff and trust.
#[derive(Debug, Parser)]
#[command(
    name = "plue",
    version,
    about,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok · 1 run failed · 2 usage · 3 plan invalid · 4 not found or not allowed · \
                  5 infrastructure · 6 waiting for a decision · 7 budget exhausted · 8 denied by policy · \
                  124 timed out · 130 interrupted"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Directory of the database, logs and runner buffers [default: `$XDG_STATE_HOME/plue`]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Database URL instead of the SQLite file in the state directory
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Work with the runs of this server instead of this machine's; its token is taken from
    /// `PLUE_TOKEN` or the configuration, never from an argument
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Colours: on terminals, always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub color: Option<ColorChoice>,
    /// Print more messages on stderr; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print only problems on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write metrics here at the end, as Prometheus reads them
    #[arg(long, global = true, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// Value of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also in files and pipes.
    Always,
    /// Plain text without control sequences.
    Never,
}

/// Output format of lists and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
}

/// Output format of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlanFormat {
    /// Levels and arrows for people.
    #[default]
    Text,
    /// The canonical IR, as it is hashed.
    Json,
    /// A flowchart in Mermaid's language.
    Mermaid,
    /// A graph in Graphviz's language.
    Dot,
    /// A picture for browsers.
    Svg,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a workflow of a repository
    Run(RunArgs),
    /// Show the plan of a workflow without running it
    Plan(PlanArgs),
    /// Check workflow files and show every problem
    Validate(ValidateArgs),
    /// List the workflows of a repository
    List(ListArgs),
    /// List runs, newest first
    Runs(RunsArgs),
    /// Show one run and its steps
    Status(StatusArgs),
    /// Print the log of a run or of one step
    Logs(LogsArgs),
    /// Print what Claude steps asked, called and answered
    Transcript(crate::commands::transcript::TranscriptArgs),
    /// Stop a run and its processes
    Cancel(CancelArgs),
    /// Approve a step that waits for a decision
    Approve(crate::commands::decide::DecideArgs),
    /// Reject a step that waits for a decision
    Reject(crate::commands::decide::DecideArgs),
    /// Answer a waiting `call` step with its one-time token
    Callback(crate::commands::callback::CallbackArgs),
    /// Run the failed steps of an ended run again, or from one step on
    Retry(RetryArgs),
    /// Start a new run of the same plan and event
    Rerun(RerunArgs),
    /// Repeat a run with the recorded answers of its Claude steps
    Replay(crate::commands::replay::ReplayArgs),
    /// Continue runs that were interrupted
    Resume(ResumeArgs),
    /// Explain why a run or step ended as it did
    Explain(ExplainArgs),
    /// List or download the files that steps kept
    Artifacts(crate::commands::artifacts::ArtifactsArgs),
    /// Save a run with its logs to one file
    Export(crate::commands::export::ExportArgs),
    /// Load a run that `plue export` saved
    Open(crate::commands::open::OpenArgs),
    /// Update the database to this version of plue
    Migrate,
    /// Save all runs and settings to one file
    Backup(crate::commands::backup::BackupArgs),
    /// Load a backup into an empty state directory or database
    Restore(crate::commands::backup::RestoreArgs),
    /// Print the digest of a file
    Hash(HashArgs),
    /// Check that this machine has what plue needs
    Doctor(DoctorArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print a JSON Schema of a file or an output
    Schema(SchemaArgs),
    /// List, render and test prompts
    #[command(subcommand)]
    Prompt(crate::commands::prompt::PromptCommand),
    /// Run a workflow by name, as `plue run`
    #[command(subcommand)]
    Build(crate::commands::task::BuildCommand),
    /// Write a report of a run
    #[command(subcommand)]
    Doc(crate::commands::doc::DocCommand),
    /// Create a branch for a task
    #[command(subcommand)]
    Git(crate::commands::git::GitCommand),
    /// List and run workflows, as `plue list` and `plue run`
    #[command(subcommand)]
    Orchestration(crate::commands::task::OrchestrationCommand),
    /// Try one part of a workflow without the others
    #[command(subcommand)]
    Test(crate::commands::test::TestCommand),
    /// List the roles that `llm` steps can take
    #[command(subcommand)]
    Agent(crate::commands::agent::AgentCommand),
    /// Store, list, remove and rotate secrets
    #[command(subcommand)]
    Secret(crate::commands::secret::SecretCommand),
    /// Start a workflow from a template
    #[command(subcommand)]
    Template(crate::commands::template::TemplateCommand),
    /// Send events, and see what came in and what it started
    #[command(subcommand)]
    Event(crate::commands::event::EventCommand),
    /// Run a server: webhooks, schedules, API and pages
    Serve(crate::commands::serve::ServeArgs),
    /// Add, list and remove the repositories that a server watches
    #[command(subcommand)]
    Repo(crate::commands::repo::RepoCommand),
    /// Send what happens to runs to other services
    #[command(subcommand)]
    Webhook(crate::commands::webhook::WebhookCommand),
    /// Create, list and remove tokens for a server's API
    #[command(subcommand)]
    Token(crate::commands::token::TokenCommand),
    /// List decisions that runs wait for
    Approvals(crate::commands::lists::RecordListArgs),
    /// List schedules with their next times
    Schedules(crate::commands::lists::RecordListArgs),
    /// Pause and resume the schedules of a workflow
    #[command(subcommand)]
    Schedule(crate::commands::workflow::ScheduleCommand),
    /// List, pause and resume the workflows of watched repositories
    #[command(subcommand)]
    Workflow(crate::commands::workflow::WorkflowCommand),
    /// List the processes that run steps
    Runners(crate::commands::lists::RecordListArgs),
    /// List pools of runners and what is queued for them
    Pools(crate::commands::lists::RecordListArgs),
    /// Register, list, drain and remove machines that run steps of a server
    #[command(subcommand)]
    Runner(crate::commands::runner::RunnerCommand),
    /// Show, drain and scale pools of pods
    #[command(subcommand)]
    Pool(crate::commands::pool::PoolCommand),
    /// Show what runs used, by repository, workflow or organisation
    Usage(crate::commands::lists::UsageArgs),
    /// Show who changed what
    Audit(crate::commands::audit::AuditArgs),
    /// Show the configuration and where each value comes from
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Repository and event of a plan.
#[derive(Debug, Args, Clone, Default)]
pub struct SourceArgs {
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// The event as a JSON file (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    pub event: Option<PathBuf>,
    /// An input of the run; values are read as JSON if they are, else as text
    #[arg(long = "input", value_name = "KEY=VALUE")]
    pub inputs: Vec<String>,
}

/// `plue run`
#[derive(Debug, Args, Default)]
pub struct RunArgs {
    /// A workflow file or the name of a workflow [default: the only one of the repository]
    #[arg(value_name = "FILE|NAME")]
    pub workflow: Option<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    /// With a server: the branch, tag or commit to run [default: the default branch]
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
    /// Run only this step
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    pub step: Option<String>,
    /// Run this step and everything behind it
    #[arg(long, value_name = "ID")]
    pub from: Option<String>,
    /// With --step or --from: the run that the steps left out have their outputs of, and missing artifacts
    /// [default: the last run of the same plan]
    #[arg(long, value_name = "RUN")]
    pub carry: Option<String>,
    /// Purpose of the run; shown everywhere and given to Claude steps
    #[arg(long, value_name = "TEXT")]
    pub goal: Option<String>,
    /// Keep a checkbox list of the steps in this file; what else stands in it stays
    #[arg(long, value_name = "FILE")]
    pub todo: Option<PathBuf>,
    /// Steps at the same time at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_parallel: Option<u32>,
    /// A secret, taken from the variable of the same name in plue's own environment
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
    /// Do not wait for people: exit with code 6 when the run waits for a decision, an event or a callback
    #[arg(long)]
    pub no_wait: bool,
    /// Never ask on the terminal; at a decision, the same as --no-wait
    #[arg(long)]
    pub no_input: bool,
    /// Open the page of the run in a browser. Without a server this command serves it on 127.0.0.1, also
    /// after the end of the run, until you press Ctrl-C
    #[arg(long, conflicts_with_all = ["no_wait", "no_input"])]
    pub web: bool,
    /// Output format of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue plan`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PlanArgs {
    #[command(subcommand)]
    pub task: Option<crate::commands::task::TaskCommand>,
    /// Workflow files or names [default: all of the repository]
    #[arg(value_name = "FILE|NAME")]
    pub workflows: Vec<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Output format of the plan
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: PlanFormat,
    /// Compare with the plan of another commit
    #[arg(long, value_name = "REV", conflicts_with = "verify")]
    pub diff: Option<String>,
    /// Derive the plan of a run again and compare
    #[arg(long, value_name = "RUN")]
    pub verify: Option<String>,
    #[command(flatten)]
    pub goal: crate::commands::plan::goal::GoalArgs,
}

/// `plue validate`
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Workflow files or names [default: all of the repository]
    #[arg(value_name = "FILE|NAME")]
    pub workflows: Vec<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Output format of the problems
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue runs`
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Only runs of this state, or of several with commas between
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Only runs of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// Only runs of this branch
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// Only runs for this type of event: `push`, `pull_request`, `schedule`, `manual`, …
    #[arg(long, value_name = "TYPE")]
    pub event: Option<String>,
    /// Only runs since a day, a time, or for so long: 2026-11-22, 7d
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Most runs to list
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Output format of the run
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only this step, raw bytes as it wrote them
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines of each step
    #[arg(long, value_name = "N")]
    pub tail: Option<u64>,
    /// Only this visit of the step, counted from 1 [default: the last one]
    #[arg(long, value_name = "N", requires = "step", conflicts_with = "follow")]
    pub visit: Option<u32>,
    /// Only this attempt of the visit, counted from 1 [default: the last one]
    #[arg(long, value_name = "N", requires = "step", conflicts_with = "follow")]
    pub attempt: Option<u32>,
    /// Lines that contain this text, with their numbers
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["follow", "tail"])]
    pub search: Option<String>,
    /// Output format of the lines
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Kill at once instead of TERM, grace, KILL
    #[arg(long)]
    pub kill: bool,
}

/// `plue retry`
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Every step that did not succeed, and what depends on it (the default)
    #[arg(long, conflicts_with = "from")]
    pub failed: bool,
    /// This step and everything behind it
    #[arg(long, value_name = "STEP")]
    pub from: Option<String>,
    #[command(flatten)]
    pub files: crate::commands::retry::FilesArgs,
    /// A secret, taken from the variable of the same name in plue's own environment
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
}

/// `plue rerun`
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only the steps that did not succeed and those that depend on them; the others keep their outputs
    #[arg(long, conflicts_with = "from")]
    pub failed: bool,
    /// Only this step and everything behind it; the others keep their outputs
    #[arg(long, value_name = "STEP")]
    pub from: Option<String>,
    /// Another value for an input; the other inputs stay as they were
    #[arg(long = "input", value_name = "KEY=VALUE", conflicts_with_all = ["failed", "from"])]
    pub inputs: Vec<String>,
    /// A secret, taken from the variable of the same name in plue's own environment
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
}

/// `plue resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// A run id, the beginning of one, or `last` [default: every run whose engine died]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// A secret, taken from the variable of the same name in plue's own environment
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
}

/// `plue explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Explain only this step
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// Output format of the answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue hash`
#[derive(Debug, Args)]
pub struct HashArgs {
    /// The file (`-` for standard input)
    #[arg(long = "file", value_name = "PATH", required_unless_present = "path")]
    pub file: Option<PathBuf>,
    /// The file, without the option's name
    #[arg(value_name = "PATH", conflicts_with = "file")]
    pub path: Option<PathBuf>,
    /// Algorithm of the digest
    #[arg(long, value_enum, default_value_t, value_name = "ALGO")]
    pub algo: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Digest {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// BLAKE3.
    Blake3,
}

/// `plue doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Output format of the report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell that reads the script
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `plue schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Name of the schema [default: list them]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `plue config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration in force
    Show {
        /// Show the file, variable or flag that set each value
        #[arg(long)]
        origin: bool,
        /// Output format of the configuration
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
}
