//! `plue runs`: not written yet.

use crate::{app::App, args::RunsArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &RunsArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
