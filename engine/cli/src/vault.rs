//! Secrets of runs: from this command's environment, else from the store, opened with the master key
//! of this machine.
//!
//! The key is `PLUE_SECRET_KEY`, else the credential `plue-secret-key` of a systemd service, else the file
//! `secret.key` beside the user's `config.toml`, which only the user may read. Must not print a secret or a key, or put one into an error.

mod sources;

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use plue_executor::perform::{
    environment::{GivenSecrets, SecretSource},
    masks,
};
use plue_plan::{
    Diagnostic, Plan, RunId, StepId,
    capability::{Capability, capabilities},
};
use plue_store::{
    Store,
    secret::{EVERYWHERE, Keyring, SecretError},
};

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, codes, from_store},
    vault::sources::Sources,
};

pub use self::sources::drop_line_end;

/// The variable that holds the master key, or several with commas between; the first one seals.
pub const KEY_VARIABLE: &str = "PLUE_SECRET_KEY";
/// The name of the service credential that holds the master key (systemd.exec(5), `LoadCredential=`).
pub const CREDENTIAL: &str = "plue-secret-key";
/// Bytes of a key file that are read.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// [`KEY_VARIABLE`].
    Variable,
    /// The read-only file of the service credential [`CREDENTIAL`].
    Credential(PathBuf),
    /// This file.
    File(PathBuf),
}

/// Secrets that a run has, and those that it lacks with a step that needs each.
#[derive(Debug, Default)]
pub struct Layered {
    /// Secrets with their values, by name.
    pub secrets: GivenSecrets,
    /// Secrets without a value, one entry per name.
    pub missing: Vec<Missing>,
}

/// A secret that a run names and nothing has.
#[derive(Debug)]
pub struct Missing {
    /// Name of the secret, as written in the plan.
    pub name: String,
    /// The first step that names it; none: the plan itself.
    pub step: Option<StepId>,
    /// Source that the plan declares for it, which has no value.
    pub source: Option<String>,
}

/// The scope of a repository's own secrets: its path. A name that the repository gives itself would
/// let any checkout claim another one's secrets.
///
/// # Errors
/// A path that is not UTF-8.
pub fn scope(repo: &Path) -> Result<String, Failure> {
    let path = repo.canonicalize().unwrap_or_else(|_| repo.to_owned());
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("the path {} is not UTF-8, so it has no secrets", path.display()))
    })
}

/// The secrets that a plan names: those given to this command first, then the repository's, then
/// those of all repositories, then those of the sources that the plan declares. With `only`, those of these steps and of hooks.
///
/// # Errors
/// The database, a key that is not here, a damaged secret.
pub async fn layered(
    app: &App,
    store: &Store,
    given: GivenSecrets,
    (plan, only): (&Plan, &[StepId]),
    repo: &Path,
) -> Result<Layered, Failure> {
    let mut found = Layered { secrets: given, missing: Vec::new() };
    let mut wanted = names(plan, only);
    wanted.retain(|name, _| !found.secrets.0.contains_key(name));
    if wanted.is_empty() {
        return Ok(found);
    }
    let sources = Sources::new(app, repo, plan);
    let scope = scope(repo)?;
    let mut stored = BTreeMap::new();
    for scope in [EVERYWHERE, &scope] {
        let rows = store.secrets(Some(scope)).await.map_err(|error| from_store(&error))?;
        stored.extend(rows.into_iter().map(|row| (row.name, row.scope)));
    }
    let mut keys = None;
    for (name, step) in wanted {
        let Some(scope) = stored.get(&name) else {
            match sources.read(&name)? {
                Some(text) => drop(found.secrets.0.insert(name, text)),
                None => {
                    let source = sources.declared(&name).map(str::to_owned);
                    found.missing.push(Missing { name, step, source });
                }
            }
            continue;
        };
        let keys = match &keys {
            Some(keys) => keys,
            None => keys.insert(open_keys(app)?),
        };
        let text = store.secret(keys, scope, &name).await;
        match text.map_err(|error| from_secret(&error, app))? {
            Some(text) => drop(found.secrets.0.insert(name, text.to_vec())),
            None => found.missing.push(Missing { name, step, source: None }),
        }
    }
    Ok(found)
}

/// The secrets of a run with the texts that it was given before, to be masked. A machine without a master
/// key remembers none.
///
/// # Errors
/// The run was given secrets whose key is not here; the database.
pub async fn remembered(
    app: &App,
    store: &Store,
    run: &RunId,
    given: GivenSecrets,
) -> Result<Arc<dyn SecretSource>, Failure> {
    // An unreadable key is like none: an error only for a run that has something sealed with it.
    let keys = read_keys(app).ok().flatten();
    let all = masks::remembered(store, keys.as_ref(), run, given).await;
    all.map_err(|error| from_secret(&error, app))
}

// === impl Layered ===

impl Layered {
    /// The secrets, if none is missing.
    ///
    /// # Errors
    /// Every one that is missing, each with what to do.
    pub fn complete(self) -> Result<GivenSecrets, Failure> {
        if self.missing.is_empty() {
            return Ok(self.secrets);
        }
        let problems = self.missing.iter().map(|Missing { name, step, source }| {
            let who = step.as_ref().map_or("the plan".to_owned(), |step| format!("step `{step}`"));
            let message = match source {
                Some(source) => format!(
                    "{who} needs the secret `{name}`, which is not set, and `{source}` is not there"
                ),
                None => format!("{who} needs the secret `{name}`, which is not set"),
            };
            Diagnostic::error(codes::SECRET, message).hint(format!(
                "set it with `plue secret set {name}`; or for this run only, with a variable of \
                 this name and `--secret {name}`"
            ))
        });
        Err(Failure { exit: Exit::NotFound, ..Failure::invalid(problems.collect()) })
    }
}

/// The names of secrets with the first step that names each; `None`: only the plan does.
fn names(plan: &Plan, only: &[StepId]) -> BTreeMap<String, Option<StepId>> {
    let mut plan = plan.clone();
    plan.steps.retain(|step| only.is_empty() || only.contains(&step.id));
    let mut found = BTreeMap::new();
    for capability in capabilities(&plan) {
        if let Capability::Secret(name) = capability {
            let named = |step: &&plue_plan::Step| {
                let alone = Plan::new("", vec![(*step).clone()]);
                capabilities(&alone).contains(&Capability::Secret(name.clone()))
            };
            let step = plan.all_steps().find(named).map(|step| step.id.clone());
            found.insert(name, step);
        }
    }
    found
}

/// Where the master key is, or is to be.
#[must_use]
pub fn key_source(app: &App) -> KeySource {
    if app.environment.get(KEY_VARIABLE).is_some() {
        return KeySource::Variable;
    }
    let credentials = app.environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if let Some(path) =
        credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists())
    {
        return KeySource::Credential(path);
    }
    let folder = app.environment.config_dir();
    KeySource::File(
        folder.unwrap_or_else(|| app.loaded.config.state_dir.clone()).join("secret.key"),
    )
}

/// The master keys.
///
/// # Errors
/// There are none, others may read them, they are malformed.
pub fn open_keys(app: &App) -> Result<Keyring, Failure> {
    read_keys(app)?.ok_or_else(|| {
        let place = match key_source(app) {
            KeySource::Variable => format!("${KEY_VARIABLE}"),
            KeySource::Credential(path) | KeySource::File(path) => path.display().to_string(),
        };
        refused(format!("there is no master key at {place}")).hint(format!(
            "put the key back that the secrets were set with, or set {KEY_VARIABLE}; without it \
             they must be set anew"
        ))
    })
}

/// The master keys; made, in a file that only this user may read, if there are none.
///
/// # Errors
/// As [`open_keys`]; the file cannot be made.
pub fn make_keys(app: &App) -> Result<Keyring, Failure> {
    if let Some(keys) = read_keys(app)? {
        return Ok(keys);
    }
    let KeySource::File(path) = key_source(app) else { return open_keys(app) };
    let keys = Keyring::generate().map_err(|error| from_secret(&error, app))?;
    match write_keys(&path, &keys, false) {
        Ok(()) => Ok(keys),
        // Another command was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_keys(app),
        Err(error) => Err(refused(format!("cannot write {}: {error}", path.display()))),
    }
}

/// [`make_keys`] for a server: `plue secret rotate` replaces the key file under it.
///
/// # Errors
/// As [`make_keys`].
pub fn serving_keys(app: &App) -> Result<Keyring, Failure> {
    let keys = make_keys(app)?;
    Ok(match key_source(app) {
        KeySource::Variable => keys,
        KeySource::Credential(path) => {
            keys.read_again(move || read_key_file(&path, false).ok().flatten())
        }
        KeySource::File(path) => keys.read_again(move || read_key_file(&path, true).ok().flatten()),
    })
}

/// Writes a key file whole or not at all; without `replace` only if there is none.
///
/// # Errors
/// The file system.
pub fn write_keys(path: &Path, keys: &Keyring, replace: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = folder.join(format!(".secret.key.{}", std::process::id()));
    let _left_behind = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(keys.to_text().as_bytes()).and_then(|()| file.sync_all());
    let placed = written
        .and_then(|()| if replace { fs::rename(&new, path) } else { fs::hard_link(&new, path) });
    let _gone = fs::remove_file(&new);
    placed.and_then(|()| fs::File::open(folder)?.sync_all())
}

fn read_keys(app: &App) -> Result<Option<Keyring>, Failure> {
    match key_source(app) {
        KeySource::Variable => {
            let text = app.environment.get(KEY_VARIABLE).unwrap_or_default();
            parsed(&text, &format!("${KEY_VARIABLE}")).map(Some)
        }
        // Its mode has the service's access list in the place of the group's.
        KeySource::Credential(path) => read_key_file(&path, false),
        KeySource::File(path) => read_key_file(&path, true),
    }
}

fn parsed(text: &str, place: &str) -> Result<Keyring, Failure> {
    Keyring::parse(text).map_err(|error| refused(format!("{place}: {error}")))
}

/// `is_ours`: a mode that gives group or others any access is an error.
fn read_key_file(path: &Path, is_ours: bool) -> Result<Option<Keyring>, Failure> {
    let shown = path.display();
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(format!("cannot read {shown}: {error}"))),
    };
    let failed = |error: io::Error| refused(format!("cannot read {shown}: {error}"));
    let mode = file.metadata().map_err(failed)?.mode();
    if is_ours && mode & 0o077 != 0 {
        return Err(refused(format!("{shown} can be read by others"))
            .hint(format!("chmod 600 {shown}; if others may have read it, `plue secret rotate`")));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
    parsed(&text, &shown.to_string()).map(Some)
}

/// An error of the store of secrets.
#[must_use]
pub fn from_secret(error: &SecretError, app: &App) -> Failure {
    match error {
        SecretError::Store(store) => from_store(store),
        SecretError::OtherKey { .. } => {
            let place = match key_source(app) {
                KeySource::Variable => format!("add it to {KEY_VARIABLE}, after a comma"),
                KeySource::Credential(_) => {
                    format!("add it to the credential {CREDENTIAL}, after a comma")
                }
                KeySource::File(path) => format!("put its line into {}", path.display()),
            };
            refused(error.to_string()).hint(format!("{place}; or set the secret anew"))
        }
        SecretError::Damaged { name } => {
            refused(error.to_string()).hint(format!("set it anew: plue secret set {name}"))
        }
        SecretError::Limit(_) => Failure::usage(error.to_string()),
        SecretError::BadKey | SecretError::Random => refused(error.to_string()),
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Exit::NotFound, Diagnostic::error(codes::KEY, message))
}
