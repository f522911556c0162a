//! Workflows in YAML and JSON: read by `plue-spec`, in this process, without an evaluator.
//!
//! No untrusted code runs here, so there is no jail, no second opinion and no cache: reading is
//! bounded and faster than a cache lookup.

use plue_plan::{HashedPlan, Span};
use plue_spec::workflow::{Format, MAX_FILE_BYTES, read_or_draft};
use plue_wire::eval::MAX_SOURCE_BYTES;

use crate::{
    discover::{WorkflowFile, WorkflowKind},
    error::PlanError,
    judge::{Draft, PlannedWorkflow, Refused},
    sources::Sources,
};

/// Stands where a read-set has the build of the evaluator.
pub(crate) const BUILD: &str = concat!("plue-spec/", env!("CARGO_PKG_VERSION"));

/// Format of a file; `None` is Python. A file named by the user needs no workflow name.
pub(crate) fn format(entry: &str) -> Option<Format> {
    match WorkflowFile::at(entry).map(|file| file.kind) {
        Some(WorkflowKind::Python) => None,
        Some(WorkflowKind::Yaml) => Some(Format::Yaml),
        Some(WorkflowKind::Json) => Some(Format::Json),
        None => match entry.rsplit_once('.').map(|(_, end)| end) {
            Some("yaml" | "yml") => Some(Format::Yaml),
            Some("json") => Some(Format::Json),
            Some(_) | None => None,
        },
    }
}

/// Bytes that a workflow file may have.
pub(crate) fn max_bytes(entry: &str) -> usize {
    if format(entry).is_some() { MAX_FILE_BYTES } else { MAX_SOURCE_BYTES }
}

/// The one plan of a file.
pub(crate) fn plan(sources: &Sources, format: Format) -> Result<Vec<PlannedWorkflow>, Refused> {
    let entry = sources.entry.as_str();
    let bytes = sources.files.get(entry).map_or(&[][..], |bytes| &bytes.0);
    let workflow = read_or_draft(entry, bytes, format).map_err(|refused| {
        let drafts = refused.draft.map(|draft| Draft { plan: draft.0, places: draft.1 });
        let error = PlanError::Invalid(refused.problems);
        Refused { error, drafts: drafts.into_iter().collect() }
    })?;
    let hashed = HashedPlan::new(workflow.plan)
        .map_err(|problem| PlanError::invalid(problem.at(Span::at(entry, 1, 1))))?;
    let (places, warnings) = (workflow.places, workflow.warnings);
    Ok(vec![PlannedWorkflow { hashed, places, warnings }])
}
