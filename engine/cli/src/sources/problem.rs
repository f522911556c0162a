//! What the planner says, as failures and diagnostics of the command line.

use std::path::Path;

use plue_plan::{Diagnostic, Severity, Span};
use plue_planner::{Error, PlanError, ViewError, codes as planner};

use crate::{
    exit::Exit,
    failure::{Failure, chain, codes},
};

/// Why there is no plan, with the exit code that goes with it.
#[must_use]
pub fn from_plan_error(error: PlanError, repo: &Path) -> Failure {
    let failure = match error {
        PlanError::Invalid(diagnostics) => {
            let missing = [planner::UNKNOWN_WORKFLOW, planner::NO_SUCH_FILE];
            let not_found = diagnostics.iter().any(|problem| missing.contains(&problem.code));
            let exit = if not_found { Exit::NotFound } else { Exit::PlanInvalid };
            Failure { exit, ..Failure::invalid(diagnostics) }
        }
        PlanError::Infrastructure(Error::View(ViewError::Read { path, source })) => {
            let message = format!("cannot read {}: {source}", path.display());
            Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
        }
        PlanError::Infrastructure(error) => {
            let hint = match &error {
                Error::Start { .. } | Error::Protocol { .. } => {
                    "plue-evaluator belongs beside plue; `plue doctor` checks the installation"
                }
                Error::JailMissing(_) => {
                    "`plue doctor` says what each layer needs; `evaluator.allow_missing` allows to go without"
                }
                Error::NotReady { .. } => "`plue doctor` checks the evaluator",
                Error::Busy { .. }
                | Error::TooOften { .. }
                | Error::View(_)
                | Error::Interrupted
                | Error::Encode(_) => "try again",
            };
            Failure::infrastructure(&error).hint(hint)
        }
    };
    failure.in_repository(repo)
}

/// What is wrong with one file of many. `Err`: not this file is at fault, so all are affected.
///
/// # Errors
/// Something of ours failed.
pub fn diagnostics(error: PlanError, entry: &str, repo: &Path) -> Result<Vec<Diagnostic>, Failure> {
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
