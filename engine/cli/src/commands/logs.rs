//! `plue logs`: not written yet.

use crate::{app::App, args::LogsArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &LogsArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
