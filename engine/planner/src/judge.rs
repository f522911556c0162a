//! From what the zygotes said to plans that may be used: the authority outside the jail.
//!
//! Every byte is untrusted: plans are parsed strictly, sealed and validated; diagnostics and places
//! are bounded and cleaned.

use plue_plan::{
    Diagnostic, Plan, Severity, Span,
    canonical::SealedPlan,
    limits::MAX_PLANS_PER_FILE,
    validate::{SourceMap, validate_with},
};
use plue_runtime::metrics::names::THIRD_OPINIONS;
use plue_spec::Cel;
use plue_wire::eval::{EvalOutcome, RawPlan};
use serde_json::Value as Json;

use crate::{
    codes,
    difference::{Difference, first_difference},
    error::PlanError,
    exchange::clean,
    sources::Sources,
};

/// Diagnostics that are taken over from an evaluation.
const MAX_DIAGNOSTICS: usize = 200;
/// Characters of one text of a diagnostic.
const MAX_TEXT: usize = 8_000;

/// One plan of a workflow file, valid.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWorkflow {
    /// The plan with its canonical bytes and hash.
    pub sealed: SealedPlan,
    /// Where its parts stand in the source.
    pub places: SourceMap,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Judges what A and B said, and a third who was asked because they agree.
pub(crate) fn judge(
    outcomes: [EvalOutcome; 2],
    third: Option<EvalOutcome>,
    sources: &Sources,
) -> Result<Vec<PlannedWorkflow>, PlanError> {
    let judge = Judge { sources };
    if let (EvalOutcome::Plans(a), Some(third)) = (&outcomes[0], third) {
        let heard = judge.third(a, &third);
        let result = if heard.is_ok() { "same" } else { "different" };
        THIRD_OPINIONS.increment(&[("result", result)]);
        heard?;
    }
    match outcomes {
        [EvalOutcome::Plans(a), EvalOutcome::Plans(b)] => judge.plans(&a, &b),
        [EvalOutcome::Failed { diagnostics_json }, EvalOutcome::Failed { .. }] => {
            Err(PlanError::Invalid(judge.diagnostics(&diagnostics_json)))
        }
        [EvalOutcome::Plans(_), EvalOutcome::Failed { diagnostics_json }]
        | [EvalOutcome::Failed { diagnostics_json }, EvalOutcome::Plans(_)] => {
            Err(judge.only_one_failed(&diagnostics_json))
        }
        [EvalOutcome::Needs(_) | EvalOutcome::Killed(_), _]
        | [_, EvalOutcome::Needs(_) | EvalOutcome::Killed(_)] => Err(judge.no_end()),
    }
}

struct Judge<'j> {
    sources: &'j Sources,
}

// === impl Judge ===

impl Judge<'_> {
    fn plans(&self, a: &[RawPlan], b: &[RawPlan]) -> Result<Vec<PlannedWorkflow>, PlanError> {
        self.same(a, b)?;
        if a.len() > MAX_PLANS_PER_FILE {
            let count = a.len();
            let message =
                format!("the file returns {count} plans, the limit is {MAX_PLANS_PER_FILE}");
            return Err(PlanError::invalid(self.whole(codes::TOO_MANY_PLANS, message)));
        }
        let (mut planned, mut problems) = (Vec::new(), Vec::new());
        for raw in a {
            match self.plan(raw) {
                Ok(workflow) => planned.push(workflow),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            self.warn_of_equal_names(&mut planned);
            Ok(planned)
        } else {
            Err(PlanError::Invalid(problems))
        }
    }

    /// A and B must have built the same plans. Bytes are compared first, as they nearly always are
    /// equal; then values, as the order of keys says nothing.
    fn same(&self, a: &[RawPlan], b: &[RawPlan]) -> Result<(), PlanError> {
        if a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.plan_json == b.plan_json) {
            return Ok(());
        }
        let difference = match (whole_value(a), whole_value(b)) {
            (Some(a), Some(b)) => first_difference(&a, &b),
            (_, _) => Some(Difference {
                path: "the whole".to_owned(),
                left: "a plan".to_owned(),
                right: "no plan".to_owned(),
            }),
        };
        let Some(Difference { path, left, right }) = difference else {
            return Ok(());
        };
        let message = format!(
            "the plan is not deterministic: `{path}` is {} in one evaluation and {} in another",
            clean(&left),
            clean(&right)
        );
        Err(PlanError::invalid(self.whole(codes::NOT_DETERMINISTIC, message).hint(ORDER_HINT)))
    }

    /// A third interpreter must build the same plans, too.
    fn third(&self, a: &[RawPlan], third: &EvalOutcome) -> Result<(), PlanError> {
        match third {
            EvalOutcome::Plans(third) => self.same(a, third),
            EvalOutcome::Failed { diagnostics_json } => Err(self.only_one_failed(diagnostics_json)),
            EvalOutcome::Needs(_) | EvalOutcome::Killed(_) => Err(self.no_end()),
        }
    }

    fn no_end(&self) -> PlanError {
        let message = "the evaluation did not come to an end".to_owned();
        PlanError::invalid(self.whole(codes::BAD_REPLY, message))
    }

    fn only_one_failed(&self, diagnostics_json: &str) -> PlanError {
        let mut problems = vec![
            self.whole(
                codes::NOT_DETERMINISTIC,
                "the plan is not deterministic: one evaluation fails and another does not"
                    .to_owned(),
            )
            .hint(ORDER_HINT),
        ];
        problems.extend(self.diagnostics(diagnostics_json));
        PlanError::Invalid(problems)
    }

    fn plan(&self, raw: &RawPlan) -> Result<PlannedWorkflow, Vec<Diagnostic>> {
        let places = self.places(&raw.places_json);
        let home = |diagnostic: Diagnostic| match diagnostic.span {
            Some(_) => diagnostic,
            None => diagnostic.at(places.plan.clone().unwrap_or_else(|| self.top())),
        };
        let plan =
            Plan::from_json(raw.plan_json.as_bytes()).map_err(|problem| vec![home(problem)])?;
        let found = validate_with(&plan, &places, &Cel);
        if found.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(found.into_iter().map(home).collect());
        }
        let sealed = SealedPlan::seal(plan).map_err(|problem| vec![home(problem)])?;
        let warnings = found.into_iter().map(home).collect();
        Ok(PlannedWorkflow { sealed, places, warnings })
    }

    /// `plue run NAME` could not tell them apart.
    fn warn_of_equal_names(&self, planned: &mut [PlannedWorkflow]) {
        let mut seen = std::collections::BTreeSet::new();
        for workflow in planned {
            let name = workflow.sealed.plan.name.clone();
            if !seen.insert(name.clone()) {
                let message = format!("an earlier plan of this file is named `{name}` too");
                let place = workflow.places.plan.clone().unwrap_or_else(|| self.top());
                workflow.warnings.push(
                    Diagnostic::warning(codes::DUPLICATE_PLAN, message)
                        .at(place)
                        .hint("give each plan a name of its own"),
                );
            }
        }
    }

    /// The diagnostics of an evaluation: bounded, cleaned, at least one.
    fn diagnostics(&self, json: &str) -> Vec<Diagnostic> {
        let parsed: Vec<Diagnostic> = serde_json::from_str(json).unwrap_or_default();
        let known = |diagnostic: &Diagnostic| {
            let code = diagnostic.code.as_str();
            code.len() == 10 && code.starts_with("PLUE-")
        };
        let mut kept: Vec<Diagnostic> = parsed
            .into_iter()
            .filter(known)
            .take(MAX_DIAGNOSTICS)
            .map(|diagnostic| Diagnostic {
                severity: diagnostic.severity,
                span: diagnostic.span.filter(|span| self.is_ours(span)),
                message: shortened(&diagnostic.message),
                hint: diagnostic.hint.as_deref().map(shortened),
                related: Vec::new(),
                code: diagnostic.code,
            })
            .collect();
        if !kept.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            let message = "the evaluation failed and did not say why".to_owned();
            kept.push(self.whole(codes::BAD_REPLY, message));
        }
        kept
    }

    /// Places only serve people; what is malformed is left out.
    fn places(&self, json: &str) -> SourceMap {
        let mut places: SourceMap = serde_json::from_str(json).unwrap_or_default();
        places.plan = places.plan.filter(|span| self.is_ours(span));
        places.triggers.retain(|_, span| self.is_ours(span));
        for spans in places.steps.values_mut() {
            if !spans.iter().all(|span| self.is_ours(span)) {
                spans.clear();
            }
        }
        places
    }

    fn is_ours(&self, span: &Span) -> bool {
        self.sources.files.contains_key(&span.file)
    }

    fn whole(&self, code: plue_plan::Code, message: String) -> Diagnostic {
        Diagnostic::error(code, message).at(self.top())
    }

    fn top(&self) -> Span {
        Span::at(self.sources.entry.clone(), 1, 1)
    }
}

const ORDER_HINT: &str = "a set has no order, which is the usual cause: use a list, or `sorted(…)` when walking over a set";

/// One plan is shown as itself, several as a list.
fn whole_value(raw: &[RawPlan]) -> Option<Json> {
    let values = raw.iter().map(|raw| serde_json::from_str(&raw.plan_json).ok());
    let mut values: Vec<Json> = values.collect::<Option<_>>()?;
    Some(if values.len() == 1 { values.remove(0) } else { Json::Array(values) })
}

fn shortened(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
