//! The cases of a step: what it reads, and what is expected of it.

use std::{collections::BTreeMap, path::Path};

use plue_plan::{Event, StepId};
use plue_spec::{Scope, StepValues};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::failure::Failure;

/// Bytes of a file of cases at most.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A case of a step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Printed with each problem.
    pub(super) name: String,
    /// Values that the expressions of the step can read.
    #[serde(default)]
    pub(super) given: Given,
    /// Expected of what the step is given; what is not named is not looked at.
    #[serde(default)]
    pub(super) input: BTreeMap<String, Json>,
    /// Expected of what it puts out; absent: its program is not run.
    pub(super) output: Option<Json>,
}

/// The world of a case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Given {
    steps: BTreeMap<StepId, Ended>,
    pub(super) inputs: Json,
    event: Option<Event>,
    visit: Option<u32>,
    attempt: Option<u32>,
}

/// An ended step that the tested one reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    #[serde(default = "success")]
    status: String,
    #[serde(default)]
    output: Json,
    error: Option<String>,
}

fn success() -> String {
    "success".to_owned()
}

/// Reads a file of cases.
pub(super) fn read(path: &Path) -> Result<Vec<Case>, Failure> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Failure::not_found(format!("cannot read the cases {shown}: {error}"))
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_BYTES {
        return Err(Failure::usage(format!("{shown} is larger than {MAX_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let cases: Vec<Case> = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::usage(format!("{shown} holds no cases: {error}"))
            .hint(r#"like [{"name": "one", "given": {"steps": {"a": {"output": 1}}}, "input": {"env": {"N": "1"}}}]"#)
    })?;
    if cases.is_empty() {
        return Err(Failure::usage(format!("{shown} holds no case")));
    }
    Ok(cases)
}

// === impl Given ===

impl Given {
    /// The event as expressions read it.
    pub(super) fn event(&self) -> Result<Json, Failure> {
        let Some(event) = &self.event else { return Ok(json!({"type": "manual"})) };
        serde_json::to_value(event).map_err(|error| Failure::infrastructure(&error))
    }

    /// The scope of expressions, without the event.
    pub(super) fn scope(&self) -> Scope<'_> {
        let scope = Scope::new().turn(self.visit.unwrap_or(1), self.attempt.unwrap_or(1));
        self.steps.iter().fold(scope, |scope, (id, ended)| {
            let values = StepValues {
                status: &ended.status,
                output: &ended.output,
                error: ended.error.as_deref().map(Into::into),
                visit: 1,
                attempts: 1,
            };
            scope.step(id.as_str(), values)
        })
    }
}
