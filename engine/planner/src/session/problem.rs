//! Errors of the planner as refusals and diagnostics.

use std::path::Path;

use super::{Reason, Refusal, chain, codes};
use crate::{Error, PlanError, ViewError, codes as planner};
use plue_plan::{Diagnostic, Severity, Span};

/// Refusal for a failed planning, with its reason.
#[must_use]
pub fn from_plan_error(error: PlanError, repo: &Path) -> Refusal {
    let refusal = match error {
        PlanError::Invalid(diagnostics) => {
            let missing = [planner::UNKNOWN_WORKFLOW, planner::NO_SUCH_FILE];
            let not_found = diagnostics.iter().any(|problem| missing.contains(&problem.code));
            let reason = if not_found { Reason::NotFound } else { Reason::Invalid };
            Refusal { reason, ..Refusal::invalid(diagnostics) }
        }
        PlanError::Infrastructure(Error::View(ViewError::Read { path, source })) => {
            let message = format!("cannot read {}: {source}", path.display());
            Refusal::new(Reason::NotFound, Diagnostic::error(codes::UNREADABLE, message))
        }
        PlanError::Infrastructure(error) => {
            let hint = match &error {
                Error::Start { .. } | Error::Protocol { .. } => {
                    "plue-evaluator belongs next to plue; `plue doctor` checks the installation"
                }
                Error::JailMissing(_) => {
                    "`plue doctor` lists the needs of each layer; `evaluator.allow_missing` permits to start without"
                }
                Error::NotReady { .. } => "`plue doctor` checks the evaluator",
                Error::Busy { .. }
                | Error::TooOften { .. }
                | Error::View(_)
                | Error::Interrupted
                | Error::Encode(_) => "try again",
            };
            Refusal::infrastructure(&error).hint(hint)
        }
    };
    refusal.in_repository(repo)
}

/// Diagnostics of one file among many. `Err`: the cause is outside of the file, so all are affected.
///
/// # Errors
/// Something of ours failed.
pub fn diagnostics(error: PlanError, entry: &str, repo: &Path) -> Result<Vec<Diagnostic>, Refusal> {
    match error {
        PlanError::Invalid(diagnostics) => Ok(diagnostics),
        PlanError::Infrastructure(Error::View(error @ ViewError::Read { .. })) => {
            let problem = Diagnostic::error(codes::UNREADABLE, chain(&error));
            Ok(vec![problem.at(Span::at(entry, 1, 1))])
        }
        error @ PlanError::Infrastructure(_) => Err(from_plan_error(error, repo)),
    }
}

pub(super) fn is_error(problem: &Diagnostic) -> bool {
    problem.severity == Severity::Error
}

pub(super) fn as_error(problem: Diagnostic) -> Diagnostic {
    Diagnostic { severity: Severity::Error, ..problem }
}
