//! `plue explain`: not written yet.

use crate::{app::App, args::ExplainArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &ExplainArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
