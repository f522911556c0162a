//! Masks over the life of a run: the secrets that it received in all drives, and those of the runs above.
//!
//! A secret may be replaced or removed between two drives, and a child may be recovered without its parent;
//! secrets that an earlier step left in the workspace are masked nevertheless.

use std::{collections::BTreeSet, fmt, sync::Arc};

use plue_flow::{Input, fact::Outcome};
use plue_plan::RunId;
use plue_runtime::mask::Secrets;
use plue_store::{
    Store,
    secret::{Keyring, SecretError},
};
use serde_json::Value as Json;

use super::environment::{GivenSecrets, SecretSource};

/// Most runs above a run that are read; more than children may be nested.
const MAX_ABOVE: usize = 64;

/// The secrets of this drive, and values of earlier ones.
struct Remembered {
    given: GivenSecrets,
    earlier: Vec<Vec<u8>>,
}

// === impl Remembered ===

impl SecretSource for Remembered {
    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        self.given.secret(name)
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.given.all().into_iter().chain(self.earlier.iter().cloned()).collect()
    }
}

/// Names and numbers only: values never reach a log.
impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let earlier = self.earlier.len();
        f.debug_struct("Remembered").field("given", &self.given).field("earlier", &earlier).finish()
    }
}

/// Adds the secrets of a drive to the sealed masks of the run; returns them with the values of earlier drives
/// and of the runs above. Without a master key nothing is stored.
///
/// # Errors
/// A mask whose key is missing; the database.
pub async fn remembered(
    store: &Store,
    keys: Option<&Keyring>,
    run: &RunId,
    given: GivenSecrets,
) -> Result<Arc<dyn SecretSource>, SecretError> {
    let own = texts(store, keys, run).await?;
    if let Some(keys) = keys {
        let all: BTreeSet<Vec<u8>> = given.all().into_iter().collect();
        let new: Vec<_> = all.difference(&own).cloned().collect();
        store.secrets().add_run_masks(keys, run, &new).await?;
    }
    let (mut earlier, mut below) = (own, run.clone());
    for _ in 0..MAX_ABOVE {
        let Some(above) = parent(store, &below).await? else { break };
        earlier.extend(texts(store, keys, &above).await?);
        below = above;
    }
    if earlier.is_empty() {
        return Ok(Arc::new(given));
    }
    Ok(Arc::new(Remembered { given, earlier: earlier.into_iter().collect() }))
}

async fn texts(
    store: &Store,
    keys: Option<&Keyring>,
    run: &RunId,
) -> Result<BTreeSet<Vec<u8>>, SecretError> {
    let texts = store.secrets().run_masks(keys, run).await?;
    Ok(texts.into_iter().map(|text| text.to_vec()).collect())
}

async fn parent(store: &Store, run: &RunId) -> Result<Option<RunId>, plue_store::Error> {
    let source = store.outputs().source_of_run(run).await?;
    let above = |source: plue_store::RunSource| {
        source.origin.pointer("/parent/run").and_then(Json::as_str).map(RunId::new)
    };
    Ok(source.and_then(above))
}

/// Masks inputs from outside of runners before they are checked and stored: a called service may repeat a
/// secret that it received.
pub(crate) fn masked(secrets: &dyn SecretSource, input: Input) -> Input {
    let all = secrets.all();
    if all.is_empty() {
        return input;
    }
    let masks = Secrets::new(all.iter().map(Vec::as_slice));
    match input {
        Input::Ended { attempt, outcome, output } => {
            let outcome = outcome_masked(outcome, &masks);
            Input::Ended { attempt, outcome, output: masks.value(output) }
        }
        Input::Answer { attempt, event, outcome, output } => {
            let outcome = outcome_masked(outcome, &masks);
            Input::Answer { attempt, event, outcome, output: masks.value(output) }
        }
        other => other,
    }
}

fn outcome_masked(outcome: Outcome, masks: &Secrets) -> Outcome {
    match outcome {
        Outcome::Refused { message } => Outcome::Refused { message: masks.text(&message) },
        Outcome::Failed { message } => Outcome::Failed { message: masks.text(&message) },
        Outcome::Rejected { message } => Outcome::Rejected { message: masks.text(&message) },
        Outcome::Infra { message } => Outcome::Infra { message: masks.text(&message) },
        Outcome::Success | Outcome::Exit { .. } | Outcome::TimedOut | Outcome::Cancelled => outcome,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_services_are_masked() {
        let secrets = GivenSecrets([("T".to_owned(), b"hunter22".to_vec())].into());
        let input = Input::Ended {
            attempt: plue_plan::AttemptId::new("a"),
            outcome: Outcome::Failed { message: "no hunter22".to_owned() },
            output: json!({"echo": {"hunter22": ["Bearer hunter22"]}}),
        };
        let Input::Ended { outcome, output, .. } = masked(&secrets, input) else { unreachable!() };
        assert_eq!(outcome, Outcome::Failed { message: "no ***".to_owned() });
        assert_eq!(output, json!({"echo": {"***": ["Bearer ***"]}}));
    }
}
