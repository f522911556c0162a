//! Validation: every problem at once, each with a code, a place and a hint.
//!
//! Must not stop at the first problem and must not change the plan. Expressions are judged through
//! [`ExpressionCheck`], because their language is `plue-spec`'s; whether prompts, roles and pools
//! exist is judged where they are known. The codes are in [`crate::codes`].

use std::collections::BTreeMap;

use crate::{
    diagnostic::{Diagnostic, Span},
    id::StepId,
    plan::Plan,
    validate::{expression::Expressions, group::Groups, report::Report},
};

mod action;
mod context;
mod dependency;
mod expression;
mod forge;
mod group;
mod input;
mod llm;
mod mcp;
mod option;
mod pattern;
mod report;
mod schedule;
mod schema;
mod step;
mod text;
mod trigger;
mod value;
mod whole;

pub use expression::{ExpressionCheck, ExpressionError, Reference, Root};
pub use input::fits;
pub use report::MAX_PROBLEMS;
pub(crate) use report::nearest;
pub use text::is_reserved;

/// Source locations of the parts of a plan; front ends fill it, the hash ignores it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SourceMap {
    /// Location of the plan itself.
    pub plan: Option<Span>,
    /// Each step's definition, in order of appearance (a duplicate id has several places).
    pub steps: BTreeMap<StepId, Vec<Span>>,
    /// Each trigger, by its index.
    pub triggers: BTreeMap<usize, Span>,
}

/// Checks everything `docs/reference/plan-format.md` lists except expressions. An empty result, or one with warnings
/// only, means that the plan may run.
#[must_use]
pub fn validate(plan: &Plan, places: &SourceMap) -> Vec<Diagnostic> {
    check(plan, places, None)
}

/// [`validate`], and: every expression parses, reads steps and inputs that exist, and reads only
/// steps that have ended before it is evaluated.
#[must_use]
pub fn validate_with(
    plan: &Plan,
    places: &SourceMap,
    language: &dyn ExpressionCheck,
) -> Vec<Diagnostic> {
    check(plan, places, Some(language))
}

/// The nearest of the known names, for "did you mean"; `None` if none is near.
pub fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    nearest(name, known.into_iter())
}

fn check(
    plan: &Plan,
    places: &SourceMap,
    language: Option<&dyn ExpressionCheck>,
) -> Vec<Diagnostic> {
    let mut report = Report::new();
    let groups = Groups::of(plan, places);
    whole::plan(&mut report, plan, places);
    for (index, trigger) in plan.triggers.iter().enumerate() {
        trigger::trigger(&mut report, report::Site::trigger(places, index), trigger);
    }
    for (member, site) in groups.members() {
        step::step(&mut report, site, member);
    }
    dependency::dependencies(&mut report, &groups);
    context::keys(&mut report, plan, places);
    context::writers(&mut report, plan, &groups);
    if let Some(language) = language {
        let mut expressions = Expressions::new(&mut report, language, plan, &groups);
        expressions.plan(places);
        expressions.steps();
    }
    report.finish()
}

#[cfg(test)]
mod tests;
