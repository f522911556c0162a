//! `plue doctor`: not written yet.

use crate::{app::App, args::DoctorArgs, failure::{Failure, Outcome}};

pub(super) fn run(_args: &DoctorArgs, _app: &App) -> Outcome {
    Err(Failure::usage("not written yet"))
}
