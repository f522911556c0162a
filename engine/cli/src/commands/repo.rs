//! `plue repo`: the repositories that a server on this database watches.
//!
//! A bare repository on this machine gets hooks, see [`hook`].

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use plue_api::{
    commands::{AppRequest, RepoRequest},
    scope::is_repo_name,
};
use reqwest::StatusCode;

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{
        SCHEMA_VERSION,
        server::{RepoRecord, Repos},
    },
    render::table,
};

pub mod confirm;
pub mod hook;
pub mod webhook;

use confirm::ConfirmArgs;

/// `plue repo`
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Watch a repository: a bare one on this machine, or one of a forge
    Add(AddRepoArgs),
    /// List the watched repositories
    List(ListReposArgs),
    /// Stop watching a repository; its runs stay
    Rm(RemoveRepoArgs),
    /// Let a commit of a fork run, without secrets, after you have read it
    Allow(AllowArgs),
    /// Take the repository that has the name at the forge now for the watched one
    Confirm(ConfirmArgs),
    /// Make the secret that calls of a repository's named webhooks (`on_webhook`) are signed with
    Webhook(webhook::WebhookArgs),
    /// Take in a push; called by the hook of a local repository
    #[command(hide = true)]
    Received(hook::ReceivedArgs),
}

/// The host of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForgeName {
    /// A path on this machine
    Local,
    Github,
    Gitlab,
    Gitea,
    Forgejo,
}

/// `plue repo add`
#[derive(Debug, Args)]
pub struct AddRepoArgs {
    /// As runs and tokens name it
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
    /// A bare repository on this machine, or the address it is fetched from
    #[arg(value_name = "PATH|URL")]
    pub url: String,
    /// Forge that hosts the repository
    #[arg(long, value_enum, default_value_t = ForgeName::Local, value_name = "FORGE")]
    pub forge: ForgeName,
    /// Default branch of the repository
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub default_branch: String,
    /// Read the secret that the forge signs deliveries with from this file
    #[arg(long, value_name = "PATH")]
    pub webhook_secret: Option<PathBuf>,
    /// Read the token that plue uses with the forge from this file: to fetch, and to report
    /// statuses
    #[arg(long, value_name = "PATH")]
    pub token: Option<PathBuf>,
    /// Be known to GitHub as this App, by its id or client id, in the place of a token
    #[arg(long, value_name = "ID", requires = "app_key", conflicts_with = "token")]
    pub app_id: Option<String>,
    /// Read the private key of the App (PEM) from this file
    #[arg(long, value_name = "PATH", requires = "app_id")]
    pub app_key: Option<PathBuf>,
    /// Address of the forge's API, if it is not where that kind of forge has it
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
    /// Report results to the forge, by commit statuses or, as a GitHub App, by checks
    #[arg(long, value_enum, default_value_t = ReportForm::Status, value_name = "FORM")]
    pub report: ReportForm,
    /// Reach the forge without TLS: only inside a network that you trust
    #[arg(long)]
    pub allow_http: bool,
}

/// Form of the reports to a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// A commit status for each plan, and a comment on pull requests
    Status,
    /// A GitHub check with annotations for each plan, and a comment on pull requests
    Check,
    /// No reports at all
    None,
}

/// `plue repo list`
#[derive(Debug, Args)]
pub struct ListReposArgs {
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue repo rm`
#[derive(Debug, Args)]
pub struct RemoveRepoArgs {
    /// Name of the repository
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
}

/// `plue repo allow`
#[derive(Debug, Args)]
pub struct AllowArgs {
    /// The repository that the pull request is for
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
    /// The whole id of the commit that you have read: a later one waits again
    #[arg(value_name = "COMMIT")]
    pub commit: String,
}

pub(super) fn run(command: &RepoCommand, app: &App) -> Outcome {
    match command {
        RepoCommand::Add(args) => add(args, app),
        RepoCommand::List(args) => list(args, app),
        RepoCommand::Rm(args) => remove(args, app),
        RepoCommand::Allow(args) => allow(args, app),
        RepoCommand::Confirm(args) => confirm::run(args, app),
        RepoCommand::Webhook(args) => webhook::run(args, app),
        RepoCommand::Received(args) => hook::received(args, app),
    }
}

impl From<ReportForm> for plue_api::commands::ReportForm {
    fn from(form: ReportForm) -> Self {
        match form {
            ReportForm::Status => Self::Status,
            ReportForm::Check => Self::Check,
            ReportForm::None => Self::None,
        }
    }
}

// === impl AddRepoArgs ===

impl AddRepoArgs {
    /// The request of the options, with the content of the files that they name.
    fn request(&self) -> Result<RepoRequest, Failure> {
        let app = match (&self.app_id, &self.app_key) {
            (Some(id), Some(key)) => Some(AppRequest { id: id.clone(), key: read_secret(key)? }),
            _ => None,
        };
        Ok(RepoRequest {
            name: self.name.clone(),
            forge: self.forge.as_str().to_owned(),
            url: match self.forge {
                ForgeName::Local => bare(&self.url)?,
                ForgeName::Github | ForgeName::Gitlab | ForgeName::Gitea | ForgeName::Forgejo => {
                    self.url.clone()
                }
            },
            default_branch: self.default_branch.clone(),
            webhook_secret: self.webhook_secret.as_deref().map(read_secret).transpose()?,
            token: self.token.as_deref().map(read_secret).transpose()?,
            app,
            api: self.api.clone(),
            report: self.report.into(),
            allow_http: self.allow_http,
        })
    }

    /// Whether the API has to encrypt a secret; only then is a key created.
    fn has_secrets(&self) -> bool {
        self.webhook_secret.is_some() || self.token.is_some() || self.app_key.is_some()
    }
}

// === impl ForgeName ===

impl ForgeName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
        }
    }
}

fn add(args: &AddRepoArgs, app: &App) -> Outcome {
    if !is_repo_name(&args.name) {
        return Err(Failure::usage(format!("a repository is not named {:?}", args.name))
            .hint("write owner/name"));
    }
    if args.forge == ForgeName::Local && app.loaded.config.server.is_some() {
        return Err(Failure::usage("a repository on the server's machine is added there")
            .hint("one of a forge: --forge github|gitlab|gitea|forgejo"));
    }
    let request = args.request()?;
    let purpose = if args.has_secrets() { Purpose::Seal } else { Purpose::Write };
    connected(app, purpose, async |connection| {
        let added = connection.client.repositories().add(&request).await.map_err(|error| {
            let is_wrong = error.status() == Some(StatusCode::UNPROCESSABLE_ENTITY);
            let failure = Failure::from(error);
            match is_wrong && connection.machine().is_some() {
                true => failure.hint("a forge inside a network that you trust: --allow-http"),
                false => failure,
            }
        })?;
        if args.forge == ForgeName::Local {
            let hook = added.hook.as_deref().unwrap_or_default();
            hook::install(Path::new(&added.url), hook, app)?;
            output::report(&format!(
                "{} is watched: pushes to {} start runs",
                added.name, added.url
            ));
            return Ok(Exit::Ok);
        }
        let path = added.webhook.unwrap_or_default();
        output::report(&format!(
            "{} is watched; its webhook is POST {path} on the server",
            added.name
        ));
        if args.webhook_secret.is_none() {
            output::report("deliveries are refused until a secret is set: --webhook-secret FILE");
        }
        Ok(Exit::Ok)
    })
}

/// The absolute path of a bare repository.
fn bare(path: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("{path}: {why}"))
            .hint("make one: git init --bare PATH; then push to it")
    };
    let full = Path::new(path).canonicalize().map_err(|error| wrong(&error.to_string()))?;
    if !full.join("HEAD").is_file() || !full.join("objects").is_dir() {
        return Err(wrong("this is no bare git repository"));
    }
    full.to_str().map(str::to_owned).ok_or_else(|| wrong("the path is not UTF-8"))
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    Ok(text)
}

fn list(args: &ListReposArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let mut repos = connection.client.repositories().list().await?;
        // Pushes of others would pass by it.
        repos.iter_mut().for_each(|repo| repo.hook = None);
        let document = Repos { schema_version: SCHEMA_VERSION, repos };
        output::list(args.output, &document, &document.repos, || table_of(&document.repos, app))?;
        Ok(Exit::Ok)
    })
}

fn table_of(repos: &[RepoRecord], app: &App) -> String {
    let rows = repos.iter().map(|repo| {
        let last = repo.problem.as_ref().or(repo.last_delivery.as_ref());
        let last = last.map_or_else(|| "none".to_owned(), Clone::clone);
        let cells = [&repo.name, &repo.forge, &repo.default_branch, &repo.url, &last];
        cells.map(table::plain).to_vec()
    });
    let head = ["NAME", "FORGE", "BRANCH", "FROM", "LAST DELIVERY"];
    table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
}

fn allow(args: &AllowArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let AllowArgs { name, commit } = args;
        let allowed = connection.client.repositories().allow_commit(name, commit).await;
        allowed.map_err(|error| match error.status() {
            Some(StatusCode::NOT_FOUND) => {
                let what = format!("nothing of {name} waits for commit {commit}");
                Failure::not_found(what).hint("write the whole id of the commit")
            }
            _ => error.into(),
        })?;
        output::report(&format!("commit {commit} of {name} may run, without secrets"));
        Ok(Exit::Ok)
    })
}

fn remove(args: &RemoveRepoArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let client = &connection.client;
        let repos = client.repositories().list().await?;
        let known = repos.into_iter().find(|repo| repo.name == args.name);
        let removed = client.repositories().remove(&args.name).await;
        removed.map_err(|error| Failure::from(error).hint_if_not_found("see `plue repo list`"))?;
        // Its hooks are files of this machine.
        if let (Some(repo), Some(_)) = (known, connection.machine())
            && let Some(hook) = &repo.hook
        {
            hook::remove(Path::new(&repo.url), hook, app)?;
        }
        Ok(Exit::Ok)
    })
}
