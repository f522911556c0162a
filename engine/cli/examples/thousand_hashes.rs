//! A thousand evaluations under a thousand circumstances, with both build profiles: `cargo run -p
//! plue-cli --example thousand_hashes -- target/debug/plue target/release/plue`.
//!
//! Every plan of every example must have the hash of its `expected/levels.txt`. Each plan is two
//! evaluations. Build the programs first: `cargo build [--release] -p plue-cli -p plue-runner -p
//! plue-evaluator`.
#![expect(clippy::unwrap_used, reason = "a tool of the tests: it stops at any failure")]

use std::{path::PathBuf, process::ExitCode};

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/examples/golden.rs"]
mod golden;
#[path = "../tests/examples/settings.rs"]
mod settings;

const EVALUATIONS: usize = 1_000;

fn main() -> ExitCode {
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if given.is_empty() {
        eprintln!("usage: thousand_hashes PATH/TO/plue…");
        return ExitCode::from(2);
    }
    let places = settings::Places::new();
    let programs: Vec<PathBuf> =
        given.iter().enumerate().map(|(number, plue)| places.programs(plue, number)).collect();
    let plans = EVALUATIONS / 2;
    let mut wrong = 0;
    for number in 0..plans {
        if let Err(why) = places.plan(&programs[number % programs.len()], number / programs.len()) {
            wrong += 1;
            eprintln!("{why}");
        }
    }
    println!("{} evaluations by {} builds, {wrong} plans are wrong", plans * 2, programs.len());
    ExitCode::from(u8::from(wrong > 0))
}
