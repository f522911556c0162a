//! The master key and the secrets of runs for commands of this machine: [`plue_secrets`] with this
//! invocation's environment, and its errors with what to do.

use std::{path::Path, sync::Arc};

use plue_executor::perform::{
    environment::{GivenSecrets, SecretSource},
    masks,
};
use plue_plan::{Diagnostic, Plan, RunId, StepId};
use plue_secrets::{
    Error, KeyStore, Missing,
    layers::{self, Request},
};
use plue_store::{
    Store,
    secret::{Keyring, SecretError},
};

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, codes, from_store},
};

pub use plue_secrets::{
    KeySource, drop_line_end,
    keys::{CREDENTIAL, KEY_VARIABLE, write as write_keys},
};

/// Secrets that a run has, and those that it lacks.
#[derive(Debug, Default)]
pub struct Layered {
    /// Secrets with their values, by name.
    pub secrets: GivenSecrets,
    missing: Vec<Missing>,
}

/// The scope of a repository's own secrets.
///
/// # Errors
/// A path that is not UTF-8.
pub fn scope(repo: &Path) -> Result<String, Failure> {
    plue_secrets::scope(repo).map_err(|error| Failure::usage(error.to_string()))
}

/// The secrets that a plan names. With `only`, those of these steps and of hooks.
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
    let environment = |name: &str| app.environment.get(name);
    let request = Request { plan, only, repo };
    let found = layers::layered(store, &key_store(app), &environment, given.0, request).await;
    let layers::Layered { secrets, missing } = found.map_err(|error| from_keys(&error, app))?;
    Ok(Layered { secrets: GivenSecrets(secrets), missing })
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
    let keys = key_store(app).read().ok().flatten();
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

fn key_store(app: &App) -> KeyStore {
    let folder = app.environment.config_dir();
    let folder = folder.unwrap_or_else(|| app.loaded.config.state_dir.clone());
    KeyStore::of(&|name| app.environment.get(name), &folder)
}

/// The place where the master key is, or is to be.
#[must_use]
pub fn key_source(app: &App) -> KeySource {
    key_store(app).source().clone()
}

/// The master keys.
///
/// # Errors
/// There are none, others may read them, they are malformed.
pub fn open_keys(app: &App) -> Result<Keyring, Failure> {
    key_store(app).open().map_err(|error| from_keys(&error, app))
}

/// The master keys; made, in a file that only this user may read, if there are none.
///
/// # Errors
/// As [`open_keys`]; the file cannot be made.
pub fn make_keys(app: &App) -> Result<Keyring, Failure> {
    key_store(app).make().map_err(|error| from_keys(&error, app))
}

/// [`make_keys`] for a server: `plue secret rotate` replaces the key file under it.
///
/// # Errors
/// As [`make_keys`].
pub fn serving_keys(app: &App) -> Result<Keyring, Failure> {
    key_store(app).serving().map_err(|error| from_keys(&error, app))
}

fn from_keys(error: &Error, app: &App) -> Failure {
    match error {
        Error::Store(error) => from_store(error),
        Error::Secret(error) => from_secret(error, app),
        Error::NoKey(_) => refused(error.to_string()).hint(format!(
            "put the key back that the secrets were set with, or set {KEY_VARIABLE}; without it \
             they must be set again"
        )),
        Error::Exposed(path) => refused(error.to_string()).hint(format!(
            "chmod 600 {}; if others may have read it, `plue secret rotate`",
            path.display()
        )),
        Error::Unreadable { .. } | Error::Unwritable { .. } | Error::Malformed { .. } => {
            refused(error.to_string())
        }
        Error::NotUtf8(_) => Failure::usage(error.to_string()),
        Error::Declared { .. } => {
            Failure::new(Exit::NotFound, Diagnostic::error(codes::SECRET, error.to_string()))
        }
    }
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
            refused(error.to_string()).hint(format!("{place}; or set the secret again"))
        }
        SecretError::Damaged { name } => {
            refused(error.to_string()).hint(format!("set it again: plue secret set {name}"))
        }
        SecretError::Limit(_) => Failure::usage(error.to_string()),
        SecretError::BadKey | SecretError::Random => refused(error.to_string()),
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Exit::NotFound, Diagnostic::error(codes::KEY, message))
}
