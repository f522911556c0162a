//! `plue status`: not written yet.

use crate::{app::App, args::StatusArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &StatusArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
