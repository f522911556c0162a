//! `plue-evaluator`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    plue_evaluator::run(std::env::args().skip(1))
}
