//! `plue repo`: the repositories that a server on this database watches.
//!
//! A bare repository on this machine gets hooks, see [`hook`].

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use plue_api::{removal::remove_repo, scope::is_repo_name, watched::repo_record};
use plue_runtime::{Clock, Ids};
use plue_server::{
    app::APP_SECRET,
    forge_reporter::ReporterConfig,
    secrets::{FORGE_TOKEN, HOOK_SECRET, hook_scope_of},
};
use plue_store::RepoRow;
use serde_json::json;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, person,
    records::{
        SCHEMA_VERSION,
        server::{RepoRecord, Repos},
    },
    render::table,
    trail::Change,
    vault, wiring,
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
    /// List watched repositories
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

/// Where a repository lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForgeName {
    /// On this machine
    Local,
    /// GitHub
    Github,
    /// GitLab
    Gitlab,
    /// Gitea
    Gitea,
    /// Forgejo
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
    /// Where it lives
    #[arg(long, value_enum, default_value_t = ForgeName::Local, value_name = "FORGE")]
    pub forge: ForgeName,
    /// Its default branch
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub default_branch: String,
    /// Read the secret that the forge signs deliveries with from this file
    #[arg(long, value_name = "PATH")]
    pub webhook_secret: Option<PathBuf>,
    /// Read the token that plue uses with the forge from this file: to fetch, and to tell how commits
    /// fare
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
    /// Tell the forge how commits fare, by commit statuses or, as a GitHub App, by checks
    #[arg(long, value_enum, default_value_t = ReportForm::Status, value_name = "FORM")]
    pub report: ReportForm,
    /// Reach the forge without TLS: only inside a network that you trust
    #[arg(long)]
    pub allow_http: bool,
}

/// How a forge is told of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// A commit status for each plan, and a comment on pull requests
    Status,
    /// A GitHub check with annotations for each plan, and a comment on pull requests
    Check,
    /// Nothing
    None,
}

/// `plue repo list`
#[derive(Debug, Args)]
pub struct ListReposArgs {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue repo rm`
#[derive(Debug, Args)]
pub struct RemoveRepoArgs {
    /// Its name
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
    /// The App's id and its key.
    pub(crate) fn app(&self) -> Result<Option<(String, String)>, Failure> {
        let (Some(id), Some(key)) = (&self.app_id, &self.app_key) else { return Ok(None) };
        Ok(Some((id.clone(), read_secret(key)?)))
    }
}

// === impl ForgeName ===

impl ForgeName {
    pub(crate) const fn as_str(self) -> &'static str {
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
    let url = match args.forge {
        ForgeName::Local => bare(&args.url)?,
        ForgeName::Github | ForgeName::Gitlab | ForgeName::Gitea | ForgeName::Forgejo => {
            let remote = if args.allow_http {
                plue_forge::git::Remote::new_allowing_http(&args.url, None)
            } else {
                plue_forge::git::Remote::new(&args.url, None)
            };
            remote.map_err(|error| Failure::usage(error.to_string()))?;
            args.url.clone()
        }
    };
    let secret = args.webhook_secret.as_deref().map(read_secret).transpose()?;
    let token = args.token.as_deref().map(read_secret).transpose()?;
    let wanted = ReporterConfig {
        repo: &args.name,
        forge: args.forge.as_str(),
        url: &args.url,
        api: args.api.as_deref(),
        form: args.report.into(),
        allow_http: args.allow_http,
    };
    let wrong =
        |why| Failure::usage(why).hint("a forge inside a network that you trust: --allow-http");
    let outlet = wanted.row().map_err(wrong)?;
    let app_given = args.app()?;
    let app_given = app_given.map(|(id, key)| wanted.app(&id, &key));
    let app_text = app_given.transpose().map_err(Failure::usage)?.map(|app| app.text());
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let row = RepoRow {
            name: args.name.clone(),
            forge: args.forge.as_str().to_owned(),
            url,
            hook: Ids::random().secret(),
            default_branch: args.default_branch.clone(),
            added_by: person::principal(),
            added_at: Clock::real().now(),
        };
        store.repos().add(&row).await.map_err(|error| from_store(&error))?;
        store
            .reports()
            .set_forge_reporter(&row.name, outlet.as_ref())
            .await
            .map_err(|error| from_store(&error))?;
        for (name, secret) in [(HOOK_SECRET, secret), (FORGE_TOKEN, token), (APP_SECRET, app_text)]
        {
            let Some(secret) = secret else { continue };
            let keys = vault::make_keys(app)?;
            let scope = hook_scope_of(&row.name);
            let put = store.secrets().put(&keys, &scope, name, secret.trim().as_bytes()).await;
            put.map_err(|error| vault::from_secret(&error, app))?;
        }
        if args.token.is_some() {
            // The one that was given last counts.
            let scope = hook_scope_of(&row.name);
            let forgotten = store.secrets().forget(&scope, APP_SECRET).await;
            forgotten.map_err(|error| from_store(&error))?;
        }
        let row = store.repos().get(&args.name).await.map_err(|error| from_store(&error))?;
        let row = row.ok_or_else(|| Failure::not_found("the repository is gone already"))?;
        let change = Change::new("repo.add", &row.name).of_repo(Some(row.name.clone()));
        change.with(json!({"forge": row.forge, "url": row.url})).note(&store).await?;
        tell(&row, args, app)?;
        Ok(Exit::Ok)
    })
}

/// What is left to do, done if plue can.
fn tell(row: &RepoRow, args: &AddRepoArgs, app: &App) -> Result<(), Failure> {
    if args.forge == ForgeName::Local {
        hook::install(Path::new(&row.url), &row.hook, app)?;
        output::say(&format!("{} is watched: pushes to {} start runs", row.name, row.url));
        return Ok(());
    }
    let path = RepoRecord::of(row).webhook.unwrap_or_default();
    output::say(&format!("{} is watched; its webhook is POST {path} on the server", row.name));
    if args.webhook_secret.is_none() {
        output::say("no delivery is believed before a secret is set: --webhook-secret FILE");
    }
    Ok(())
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

pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    Ok(text)
}

fn list(args: &ListReposArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let rows = store.repos().list().await.map_err(|error| from_store(&error))?;
        let mut repos = Vec::with_capacity(rows.len());
        for row in &rows {
            repos.push(repo_record(&store, row).await.map_err(|error| from_store(&error))?);
        }
        let document = Repos { schema_version: SCHEMA_VERSION, repos };
        output::list(args.output, &document, &document.repos, || table_of(&document.repos, app))?;
        Ok(Exit::Ok)
    })
}

pub(crate) fn table_of(repos: &[RepoRecord], app: &App) -> String {
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
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let by = person::principal();
        let now = Clock::real().now();
        let held = store.untrusted().allow(&args.name, &args.commit, &by, now).await;
        let held = held.map_err(|error| from_store(&error))?;
        if held == 0 {
            let what = format!("nothing of {} waits for commit {}", args.name, args.commit);
            return Err(Failure::not_found(what).hint("write the whole id of the commit"));
        }
        let change = Change::new("commit.allow", &args.commit).of_repo(Some(args.name.clone()));
        change.note(&store).await?;
        output::say(&format!("commit {} of {} may run, without secrets", args.commit, args.name));
        Ok(Exit::Ok)
    })
}

fn remove(args: &RemoveRepoArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let row = store.repos().get(&args.name).await.map_err(|error| from_store(&error))?;
        let Some(row) = row else {
            return Err(Failure::not_found(format!("`{}` is not watched", args.name))
                .hint("see `plue repo list`"));
        };
        remove_repo(&store, &row.name).await.map_err(|error| from_store(&error))?;
        Change::new("repo.remove", &row.name).of_repo(Some(row.name.clone())).note(&store).await?;
        if row.forge == "local" {
            hook::remove(Path::new(&row.url), &row.hook, app)?;
        }
        Ok(Exit::Ok)
    })
}
