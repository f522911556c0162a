//! `plue list`: not written yet.

use crate::{app::App, args::ListArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &ListArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
