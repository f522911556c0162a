//! `plue secret`: set, list, remove and rotate. A text is never an argument and never printed.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use plue_api::scope::is_secret_name;
use plue_client::SecretScope;
use plue_store::secret::MAX_SECRET_BYTES;
use reqwest::StatusCode;
use rustix::termios::{self, LocalModes, OptionalActions};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output,
    records::{
        SCHEMA_VERSION,
        texts::{SecretRecord, Secrets},
    },
    render::table,
    trail::Change,
    vault::{self, KeySource},
    wiring,
};

/// `plue secret`
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Store a secret; its text is read from standard input or a file, never from an argument
    Set(SetArgs),
    /// List the names of secrets
    List(ListSecretsArgs),
    /// Delete a stored secret
    Rm(RemoveArgs),
    /// Put all secrets under a new master key
    Rotate,
}

/// The owner of secrets.
#[derive(Debug, Args)]
pub struct ScopeArgs {
    /// The repository [default: the one around the current directory]
    #[arg(long, value_name = "DIR", conflicts_with = "global")]
    pub repo: Option<PathBuf>,
    /// For all repositories; a repository's own secret of the same name comes first
    #[arg(long)]
    pub global: bool,
}

/// `plue secret set`
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its name: upper-case letters, digits and `_`
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Read the text from this file, as it is
    #[arg(long, value_name = "PATH")]
    pub from_file: Option<PathBuf>,
    #[command(flatten)]
    pub scope: ScopeArgs,
}

/// `plue secret list`
#[derive(Debug, Args)]
pub struct ListSecretsArgs {
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Those of every repository
    #[arg(long, conflicts_with_all = ["repo", "global"])]
    pub all: bool,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue secret rm`
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Name of the secret
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub scope: ScopeArgs,
}

pub(super) fn run(command: &SecretCommand, app: &App) -> Outcome {
    match command {
        SecretCommand::Set(args) => set(args, app),
        SecretCommand::List(args) => list(args, app),
        SecretCommand::Rm(args) => remove(args, app),
        SecretCommand::Rotate => rotate(app),
    }
}

fn set(args: &SetArgs, app: &App) -> Outcome {
    let SetArgs { name, from_file, scope } = args;
    if !is_secret_name(name) {
        let message = format!("a secret is not named {name:?}");
        return Err(Failure::usage(message)
            .hint("upper-case letters, digits and `_`, no digit first: DEPLOY_TOKEN"));
    }
    let scope = scope.resolve(app)?;
    let text = text_of(name, from_file.as_deref())?;
    connected(app, Purpose::Seal, async |connection| {
        connection.client.secrets().set(&scope, name, &text).await.map_err(unknown_repository)?;
        if app.verbosity >= 0 {
            output::report(&format!("{name} is set for {}", shown(&scope)));
        }
        Ok(Exit::Ok)
    })
}

/// The text of a secret, from a file or from standard input.
fn text_of(name: &str, from_file: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = match from_file {
        Some(path) => read_file(path)?,
        None => read_stdin(name)?,
    };
    if text.is_empty() {
        return Err(Failure::usage("the secret is empty")
            .hint(format!("plue secret set {name} < FILE, or pipe it in")));
    }
    if text.contains(&0) {
        return Err(Failure::usage("the secret holds a NUL character")
            .hint("it reaches a step as a variable; encode it, for example with base64"));
    }
    Ok(text)
}

fn list(args: &ListSecretsArgs, app: &App) -> Outcome {
    let own = match args.all || args.scope.global {
        true => None,
        false => Some(args.scope.resolve(app)?),
    };
    connected(app, Purpose::Write, async |connection| {
        let client = &connection.client;
        let secrets = match &own {
            None if args.all => client.secrets().list_all().await?,
            None => client.secrets().list(&SecretScope::Everywhere).await?,
            Some(own) => {
                let mut secrets = match client.secrets().list(&SecretScope::Everywhere).await {
                    Ok(secrets) => secrets,
                    // A token of one repository sees the secrets of that repository only.
                    Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => Vec::new(),
                    Err(error) => return Err(error.into()),
                };
                secrets.extend(client.secrets().list(own).await.map_err(unknown_repository)?);
                secrets
            }
        };
        let document = Secrets { schema_version: SCHEMA_VERSION, secrets };
        output::list(args.output, &document, &document.secrets, || {
            table_of(&document.secrets, app)
        })?;
        Ok(Exit::Ok)
    })
}

fn unknown_repository(error: plue_client::Error) -> Failure {
    Failure::from(error).hint_if_not_found("see `plue repo list`")
}

fn table_of(secrets: &[SecretRecord], app: &App) -> String {
    let cells = secrets.iter().map(|secret| {
        let scope = secret.repository.as_deref().unwrap_or("all repositories");
        let cells = [&secret.name, scope, &secret.updated_at.to_string(), &secret.key_id];
        cells.map(table::plain).to_vec()
    });
    let head = ["NAME", "FOR", "SET", "KEY"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}

fn remove(args: &RemoveArgs, app: &App) -> Outcome {
    let (name, scope) = (&args.name, args.scope.resolve(app)?);
    connected(app, Purpose::Write, async |connection| {
        let removed = connection.client.secrets().remove(&scope, name).await;
        removed.map_err(|error| match error.status() {
            Some(StatusCode::NOT_FOUND) => {
                Failure::not_found(format!("there is no secret `{name}` for {}", shown(&scope)))
                    .hint("see `plue secret list --all`")
            }
            _ => error.into(),
        })?;
        Ok(Exit::Ok)
    })
}

/// New key first, old ones behind it; then the secrets; then the old ones go. Interrupted anywhere,
/// every secret is under a key that is there, and the command can be given again.
fn rotate(app: &App) -> Outcome {
    let old = vault::open_keys(app)?;
    let failed = |error| vault::from_secret(&error, app);
    let source = vault::key_source(app);
    let keys = match &source {
        // The operator puts the new key before the old one.
        KeySource::Variable | KeySource::Credential(_) => old,
        KeySource::File(path) => {
            let keys = old.with_new().map_err(failed)?;
            write(path, &keys)?;
            keys
        }
    };
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let count = store.secrets().rewrap(&keys).await.map_err(failed)?;
        let detail = json!({"secrets": count});
        Change::new("secret.rotate", keys.first_id()).with(detail).note(&store).await?;
        match &source {
            KeySource::File(path) => write(path, &keys.only_first())?,
            KeySource::Variable => leave(vault::KEY_VARIABLE),
            KeySource::Credential(_) => leave(vault::CREDENTIAL),
        }
        if app.verbosity >= 0 {
            output::report(&format!("{count} secrets are under the key {}", keys.first_id()));
        }
        Ok(Exit::Ok)
    })
}

fn leave(place: &str) {
    output::report(&format!("every secret is under the first key; the others can leave {place}"));
}

fn write(path: &Path, keys: &plue_store::secret::Keyring) -> Result<(), Failure> {
    vault::write_keys(path, keys, true).map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        let problem = plue_plan::Diagnostic::error(codes::KEY, message);
        Failure::new(Exit::Infrastructure, problem)
    })
}

fn shown(scope: &SecretScope) -> &str {
    match scope {
        SecretScope::Everywhere => "all repositories",
        SecretScope::Repository(repo) => repo,
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| {
        let message = format!("cannot read {}: {error}", path.display());
        let problem = plue_plan::Diagnostic::error(codes::UNREADABLE, message);
        Failure::new(Exit::NotFound, problem)
    };
    read(std::fs::File::open(path).map_err(failed)?).map_err(failed)
}

/// Standard input. What a person types is not shown; a text of one line loses its line end.
fn read_stdin(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let stdin = io::stdin();
    let terminal = termios::tcgetattr(&stdin).ok();
    if let Some(before) = &terminal {
        output::report(&format!("the text of {name}, then Ctrl-D on a line of its own:"));
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        let _stays_visible = termios::tcsetattr(&stdin, OptionalActions::Flush, &quiet);
    }
    let text = read(stdin.lock());
    if let Some(before) = &terminal {
        let _best_effort = termios::tcsetattr(&stdin, OptionalActions::Flush, before);
    }
    let mut text = text.map_err(|error| Failure::infrastructure(&error))?;
    vault::drop_line_end(&mut text);
    Ok(text)
}

/// One byte more than is allowed is enough to be refused.
fn read(from: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = u64::try_from(MAX_SECRET_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
    from.take(most).read_to_end(&mut text)?;
    Ok(text)
}

// === impl ScopeArgs ===

impl ScopeArgs {
    /// The scope: a watched repository of a server, or a folder of this machine.
    fn resolve(&self, app: &App) -> Result<SecretScope, Failure> {
        let is_remote = app.loaded.config.server.is_some();
        match (self.global, &self.repo, is_remote) {
            (true, _, _) => Ok(SecretScope::Everywhere),
            (false, Some(repo), true) => Ok(SecretScope::Repository(repo.display().to_string())),
            (false, None, true) => Err(Failure::usage("the secret of which repository?")
                .hint("--repo OWNER/NAME, or --global")),
            (false, repo, false) => {
                let folder = app.repository(repo.as_deref())?;
                vault::scope(&folder).map(SecretScope::Repository)
            }
        }
    }
}
