//! Lists of problems of bounded length.
//!
//! Must not sort or judge them.

use plue_plan::Diagnostic;

use crate::{codes, limits::MAX_PROBLEMS};

/// The first problems, and one that counts the rest.
pub(crate) fn capped(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    if more > 0 {
        problems.truncate(MAX_PROBLEMS);
        problems.push(Diagnostic::error(
            codes::MORE_PROBLEMS,
            format!("there are {more} more problems"),
        ));
    }
    problems
}
