//! `plue plan`: not written yet.

use crate::{app::App, args::PlanArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: PlanArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
