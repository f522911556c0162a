//! From the zygotes' replies to validated plans: the authority outside the jail.
//!
//! Every byte is untrusted: plans are parsed strictly, canonicalized and validated; diagnostics and
//! source locations are bounded and cleaned.

use plue_plan::{
    Diagnostic, Plan, Severity, Span,
    budget::{Budget, Meter},
    canonical::HashedPlan,
    codes as plan_codes,
    counted::from_json,
    limits::{MAX_IR_VALUES, MAX_PLANS_PER_FILE},
    validate::{SourceMap, validate_with},
};
use plue_runtime::metrics::names::THIRD_OPINIONS;
use plue_spec::Cel;
use plue_wire::eval::{EvalOutcome, MAX_REPLY_BYTES, RawPlan};
use serde_json::Value as Json;

use crate::{
    codes,
    difference::{Difference, first_difference},
    error::{Error, PlanError},
    exchange::{Survey, clean},
    literals,
    sources::Sources,
    view::ViewError,
};

/// Diagnostics that are taken over from an evaluation.
const MAX_DIAGNOSTICS: usize = 200;
/// Characters of one text of a diagnostic.
const MAX_TEXT: usize = 8_000;

/// One plan of a workflow file, valid.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWorkflow {
    /// The plan with its canonical bytes and hash.
    pub hashed: HashedPlan,
    /// Places of its parts in the source.
    pub places: SourceMap,
    /// Warnings about the workflow.
    pub warnings: Vec<Diagnostic>,
}

/// A plan that may not be used, read as far as it could be; its prompts are checked all the same.
#[derive(Debug)]
pub struct Draft {
    /// The plan as far as it could be read; it may be invalid.
    pub plan: Plan,
    /// Source locations of its parts.
    pub places: SourceMap,
}

/// The error in place of plans, and drafts of the plans that could be read.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: PlanError,
    pub(crate) drafts: Vec<Draft>,
}

/// The outcomes of the evaluators of one file.
pub(crate) struct Replies {
    pub(crate) outcomes: [EvalOutcome; 2],
    pub(crate) third: Option<EvalOutcome>,
    pub(crate) survey: Option<Survey>,
}

/// Judges the replies of A and B, and of a third that was asked because they agree.
pub(crate) fn judge(replies: Replies, sources: &Sources) -> Result<Vec<PlannedWorkflow>, Refused> {
    let judge = Judge { sources };
    let Replies { outcomes, third, survey } = replies;
    if let (EvalOutcome::Plans(a), Some(third)) = (&outcomes[0], third) {
        let agreement = judge.third(a, &third);
        let result = if agreement.is_ok() { "same" } else { "different" };
        THIRD_OPINIONS.increment(&[("result", result)]);
        agreement?;
    }
    match outcomes {
        [EvalOutcome::Plans(a), EvalOutcome::Plans(b)] => judge.plans(&a, &b),
        [EvalOutcome::Failed { diagnostics_json }, EvalOutcome::Failed { .. }] => {
            Err(judge.failed(&diagnostics_json, survey))
        }
        [EvalOutcome::Plans(_), EvalOutcome::Failed { diagnostics_json }]
        | [EvalOutcome::Failed { diagnostics_json }, EvalOutcome::Plans(_)] => {
            Err(judge.only_one_failed(&diagnostics_json).into())
        }
        [EvalOutcome::Needs(_) | EvalOutcome::Surveyed { .. } | EvalOutcome::Killed(_), _]
        | [_, EvalOutcome::Needs(_) | EvalOutcome::Surveyed { .. } | EvalOutcome::Killed(_)] => {
            Err(judge.no_end().into())
        }
    }
}

// === impl Refused ===

impl From<PlanError> for Refused {
    fn from(error: PlanError) -> Self {
        Self { error, drafts: Vec::new() }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        PlanError::from(error).into()
    }
}

impl From<ViewError> for Refused {
    fn from(error: ViewError) -> Self {
        PlanError::from(error).into()
    }
}

struct Judge<'j> {
    sources: &'j Sources,
}

// === impl Judge ===

impl Judge<'_> {
    /// The problems of a file that fails: the first ones, those that a survey found, and those of the
    /// drafts that it made.
    fn failed(&self, diagnostics_json: &str, survey: Option<Survey>) -> Refused {
        let mut problems = self.diagnostics(diagnostics_json);
        let mut drafts = Vec::new();
        if let Some(survey) = survey {
            problems.extend(self.parsed(&survey.diagnostics_json));
            for raw in survey.drafts.iter().take(MAX_PLANS_PER_FILE) {
                let Err((found, draft)) = self.plan(raw).map(|planned| {
                    drafts.push(Draft { plan: planned.hashed.plan, places: planned.places });
                }) else {
                    continue;
                };
                // A draft without steps is no further problem: its steps could not be made.
                let found = found.into_iter().filter(|found| found.code != plan_codes::NO_STEPS);
                if let Some(draft) = draft {
                    problems.extend(found);
                    drafts.push(*draft);
                }
            }
        }
        Refused { error: PlanError::Invalid(problems), drafts }
    }

    fn plans(&self, a: &[RawPlan], b: &[RawPlan]) -> Result<Vec<PlannedWorkflow>, Refused> {
        self.same(a, b)?;
        if a.len() > MAX_PLANS_PER_FILE {
            let count = a.len();
            let message =
                format!("the file returns {count} plans, the limit is {MAX_PLANS_PER_FILE}");
            return Err(PlanError::invalid(self.whole(codes::TOO_MANY_PLANS, message)).into());
        }
        let (mut planned, mut problems, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
        for raw in a {
            match self.plan(raw) {
                Ok(workflow) => planned.push(workflow),
                Err((found, draft)) => {
                    problems.extend(found);
                    drafts.extend(draft.map(|draft| *draft));
                }
            }
        }
        if problems.is_empty() {
            self.warn_of_equal_names(&mut planned);
            return Ok(planned);
        }
        let valid = planned.into_iter();
        drafts.extend(valid.map(|one| Draft { plan: one.hashed.plan, places: one.places }));
        Err(Refused { error: PlanError::Invalid(problems), drafts })
    }

    /// A and B must have built the same plans. Bytes are compared first, as they nearly always are
    /// equal; then values, as the order of keys is irrelevant.
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
            EvalOutcome::Needs(_) | EvalOutcome::Surveyed { .. } | EvalOutcome::Killed(_) => {
                Err(self.no_end())
            }
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

    /// One plan; its problems, and the plan if it could be read.
    fn plan(
        &self,
        raw: &RawPlan,
    ) -> Result<PlannedWorkflow, (Vec<Diagnostic>, Option<Box<Draft>>)> {
        let places = self.places(&raw.places_json);
        let home = |diagnostic: Diagnostic| match diagnostic.span {
            Some(_) => diagnostic,
            None => diagnostic.at(places.plan.clone().unwrap_or_else(|| self.top())),
        };
        let plan = Plan::from_json(raw.plan_json.as_bytes())
            .map_err(|problem| (vec![home(problem)], None))?;
        let found = validate_with(&plan, &places, &Cel);
        if found.iter().any(|problem| problem.severity == Severity::Error) {
            let found = found.into_iter().chain(literals::unevaluated(&plan, &places));
            let found = found.map(home).collect();
            return Err((found, Some(Box::new(Draft { plan, places }))));
        }
        let hashed = HashedPlan::new(plan).map_err(|problem| (vec![home(problem)], None))?;
        let found = found.into_iter().chain(literals::unevaluated(&hashed.plan, &places));
        let warnings = found.map(home).collect();
        Ok(PlannedWorkflow { hashed, places, warnings })
    }

    /// `plue run NAME` could not distinguish them.
    fn warn_of_equal_names(&self, planned: &mut [PlannedWorkflow]) {
        let mut seen = std::collections::BTreeSet::new();
        for workflow in planned {
            let name = workflow.hashed.plan.name.clone();
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
        let mut kept = self.parsed(json);
        if !kept.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            let message = "the evaluation failed without a reason".to_owned();
            kept.push(self.whole(codes::BAD_REPLY, message));
        }
        kept
    }

    fn parsed(&self, json: &str) -> Vec<Diagnostic> {
        let parsed: Vec<Diagnostic> = from_json(json, &meter()).unwrap_or_default();
        let known = |diagnostic: &Diagnostic| {
            let code = diagnostic.code.as_str();
            code.len() == 10 && code.starts_with("PLUE-")
        };
        parsed
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
            .collect()
    }

    /// Places only serve people; what is malformed is left out.
    fn places(&self, json: &str) -> SourceMap {
        let mut places: SourceMap = from_json(json, &meter()).unwrap_or_default();
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

/// For JSON of a reply that is not a plan: places and diagnostics are of its size at most.
fn meter() -> Meter {
    let budget = Budget { bytes: MAX_REPLY_BYTES as u64, items: MAX_IR_VALUES as u64, steps: 0 };
    Meter::new(budget)
}

/// One plan is shown as itself, several as a list.
fn whole_value(raw: &[RawPlan]) -> Option<Json> {
    let meter = meter();
    let values = raw.iter().map(|raw| from_json(&raw.plan_json, &meter));
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
