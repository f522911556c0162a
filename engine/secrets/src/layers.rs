//! The layers that the secrets of a plan come from: given to the command, stored for the repository,
//! stored for all repositories, declared by the plan.

use std::{collections::BTreeMap, fmt, path::Path};

use plue_plan::{
    Plan, StepId,
    capability::{Capability, capabilities},
};
use plue_store::{Store, secret::EVERYWHERE};

use crate::{Error, KeyStore, declared::Declared};

/// Texts of secrets by name.
pub type SecretTexts = BTreeMap<String, Vec<u8>>;
/// The environment of the process.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Secrets that a run has, and those that it lacks with a step that needs each.
#[derive(Default)]
pub struct Layered {
    /// Secrets with their values, by name.
    pub secrets: SecretTexts,
    /// Secrets without a value, one entry per name.
    pub missing: Vec<Missing>,
}

/// A secret that a run names and no layer has.
#[derive(Debug)]
pub struct Missing {
    /// Name of the secret, as written in the plan.
    pub name: String,
    /// The first step that names it; none: the plan itself.
    pub step: Option<StepId>,
    /// Source that the plan declares for it, which has no value.
    pub source: Option<String>,
}

/// The run whose secrets are looked up.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The plan that names the secrets.
    pub plan: &'a Plan,
    /// Steps that run; empty: all. Hooks always count.
    pub only: &'a [StepId],
    /// Root of its repository.
    pub repo: &'a Path,
}

/// The scope of a repository's own secrets: its path. A name that the repository gives itself would
/// let any checkout claim another one's secrets.
///
/// # Errors
/// A path that is not UTF-8.
pub fn scope(repo: &Path) -> Result<String, Error> {
    let path = repo.canonicalize().unwrap_or_else(|_| repo.to_owned());
    path.to_str().map(str::to_owned).ok_or(Error::NotUtf8(path))
}

/// The secrets that a plan names: those given to this command first, then the repository's, then
/// those of all repositories, then those of the sources that the plan declares.
///
/// # Errors
/// The database, a key that is not here, a damaged secret.
pub async fn layered(
    store: &Store,
    keys: &KeyStore,
    environment: Environment<'_>,
    given: SecretTexts,
    request: Request<'_>,
) -> Result<Layered, Error> {
    let mut found = Layered { secrets: given, missing: Vec::new() };
    let mut wanted = names(request.plan, request.only);
    wanted.retain(|name, _| !found.secrets.contains_key(name));
    if wanted.is_empty() {
        return Ok(found);
    }
    let declared = Declared::new(environment, request);
    let scope = scope(request.repo)?;
    let mut stored = BTreeMap::new();
    for scope in [EVERYWHERE, &scope] {
        let rows = store.secrets().list(Some(scope)).await?;
        stored.extend(rows.into_iter().map(|row| (row.name, row.scope)));
    }
    let mut opened = None;
    for (name, step) in wanted {
        let Some(scope) = stored.get(&name) else {
            match declared.read(&name)? {
                Some(text) => drop(found.secrets.insert(name, text)),
                None => {
                    let source = declared.source(&name).map(str::to_owned);
                    found.missing.push(Missing { name, step, source });
                }
            }
            continue;
        };
        let keys = match &opened {
            Some(keys) => keys,
            None => opened.insert(keys.open()?),
        };
        match store.secrets().get(keys, scope, &name).await? {
            Some(text) => drop(found.secrets.insert(name, text.to_vec())),
            None => found.missing.push(Missing { name, step, source: None }),
        }
    }
    Ok(found)
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Layered");
        shown.field("names", &self.secrets.keys()).field("missing", &self.missing).finish()
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
