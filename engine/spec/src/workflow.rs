//! The YAML and JSON front end: a workflow file becomes the same plan that Python would make.
//!
//! Must not read files or know where a plan goes. Every problem is reported at once, with its place;
//! what is broken is left out of the plan that is checked further, so that one slip does not hide
//! the others.

use std::collections::BTreeMap;

use plue_plan::{
    Diagnostic, Plan, Severity,
    validate::{SourceMap, validate_with},
};

use crate::language::Cel;

mod fields;
mod ir;
mod kinds;
mod lower;
mod names;
mod options;
mod plan;
mod problems;
mod refine;
mod rewrite;
pub mod schema;
mod secrets;
mod task;
mod trigger;
mod value;
mod yaml;

pub use plan::{DEFAULT_MAX_PARALLEL, FORMAT_VERSION, UNLIMITED};
pub use problems::MAX_PROBLEMS;
pub use yaml::{Format, MAX_ALIASED_BYTES, MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES};

/// A workflow file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// The plan, which passed validation.
    pub plan: Plan,
    /// Source locations of its parts.
    pub places: SourceMap,
    /// Warnings about the file.
    pub warnings: Vec<Diagnostic>,
}

/// A workflow file that is not valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Everything that is wrong with it, by place; warnings are among it.
    pub problems: Vec<Diagnostic>,
    /// The readable part of the plan, with its places; never to be run.
    pub draft: Option<Box<(Plan, SourceMap)>>,
}

impl From<Vec<Diagnostic>> for Refused {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self { problems, draft: None }
    }
}

/// Reads a workflow file: the format of this module, or a whole plan as `plue plan --output json`
/// prints it. `file` is its path, for places.
///
/// # Errors
/// Everything that is wrong with it, by place; warnings are among it.
pub fn read(file: &str, bytes: &[u8], format: Format) -> Result<Workflow, Vec<Diagnostic>> {
    read_or_draft(file, bytes, format).map_err(|refused| refused.problems)
}

/// The same, with what could be read of a plan that is not valid.
///
/// # Errors
/// As [`read`].
pub fn read_or_draft(file: &str, bytes: &[u8], format: Format) -> Result<Workflow, Refused> {
    let mut problems = problems::Problems::new(file);
    if bytes.len() > MAX_FILE_BYTES {
        let (size, place) = (bytes.len(), yaml::SourcePosition::point(1, 1));
        let message = format!("the file is {size} bytes, the limit is {MAX_FILE_BYTES}");
        problems.error(crate::codes::FILE_TOO_LARGE, place, message);
        return Err(problems.finish().into());
    }
    let source = match std::str::from_utf8(bytes) {
        Ok(source) => source,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
            let place = yaml::SourcePosition::point(line, column);
            problems.push(
                crate::codes::NOT_YAML,
                place,
                "the file is not UTF-8",
                "save it as UTF-8; no other encoding is read",
            );
            return Err(problems.finish().into());
        }
    };
    let Some(root) = yaml::read(source, format, &mut problems) else {
        if !problems.has_errors() {
            let hint = "like `name: hello` and `tasks: [{id: hi, run: echo hi}]`";
            let place = yaml::SourcePosition::point(1, 1);
            problems.push(crate::codes::NO_WORKFLOW, place, "the file is empty", hint);
        }
        return Err(problems.finish().into());
    };
    if ir::is_plan(&root) {
        return ir::read(file, source, format, &root, problems);
    }
    let mut lower = lower::Lower {
        source,
        format,
        problems,
        names: names::Names::of(&root),
        places: SourceMap::default(),
        sources: BTreeMap::new(),
        written_bytes: 0,
        written_too_much: false,
    };
    lower.places.plan = lower.problems.span(root.get("name").unwrap_or(&root).place);
    let Some(plan) = plan::plan(&mut lower, &root) else {
        return Err(lower.problems.finish().into());
    };
    let lower::Lower { problems, places, .. } = lower;
    finish(plan, places, problems, &root)
}

/// Checks the plan and puts all problems together.
fn finish(
    plan: Plan,
    places: SourceMap,
    mut problems: problems::Problems<'_>,
    root: &yaml::Node,
) -> Result<Workflow, Refused> {
    let broken = problems.has_errors();
    for found in validate_with(&plan, &places, &Cel) {
        // If a plan has no steps because none could be read, the errors above explain it.
        if broken && found.code == plue_plan::codes::NO_STEPS {
            continue;
        }
        let refined = refine::refine(found, root, &problems);
        problems.add(refined);
    }
    let found = problems.finish();
    if found.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Refused { problems: found, draft: Some(Box::new((plan, places))) });
    }
    Ok(Workflow { plan, places, warnings: found })
}

#[cfg(test)]
mod tests;
