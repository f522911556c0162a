//! `plue validate`: not written yet.

use crate::{app::App, args::ValidateArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &ValidateArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
