//! Inputs of the command line: `key=value` texts.

use plue_plan::inputs::{Given, Missing};
use serde_json::{Map, Value as Json};

use super::Refusal;

/// Splits `key=value`; the first `=` counts.
pub(super) fn parse(pairs: &[String]) -> Result<Vec<(String, Given)>, Refusal> {
    let mut given: Vec<(String, Given)> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some((name, text)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Refusal::usage(format!("--input {pair}: expected KEY=VALUE")));
        };
        if given.iter().any(|(other, _)| other == name) {
            return Err(Refusal::usage(format!("--input {name} is given twice")));
        }
        given.push((name.to_owned(), Given::Text(text.to_owned())));
    }
    Ok(given)
}

/// Inputs before their types are known: JSON if they parse as such, else text.
pub(super) fn raw(given: &[(String, Given)]) -> Map<String, Json> {
    given.iter().map(|(name, value)| (name.clone(), value.json())).collect()
}

/// A required input must be given.
pub(super) const REQUIRED: Missing =
    Missing::Refused(|name, kind| format!("give it: --input {name}=<{kind}>"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_and_repeated_pairs_are_refused() {
        for pairs in [vec!["a"], vec!["=1"], vec!["a=1", "a=2"]] {
            let pairs: Vec<_> = pairs.into_iter().map(str::to_owned).collect();
            assert!(parse(&pairs).is_err(), "{pairs:?}");
        }
    }
}
