//! `cargo xtask bench`: what plue costs, measured with release builds on a state directory of its own.
//!
//! Prints a table, or one JSON line per measurement; docs/explanation/performance.md explains each case.
//! Must not judge: a number is compared with a floor of the same run or with an older file, by a person.

mod cases;
mod line;
mod machine;

use std::{io::Write as _, path::Path, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use self::{line::Line, machine::Machine};

/// Cases to measure, and the form of the result.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Only these cases [default: all but the floor, the burst and the soak]
    #[arg(value_name = "CASE", value_parser = cases::names())]
    cases: Vec<String>,
    /// One JSON line per measurement
    #[arg(long)]
    json: bool,
    /// Also the floor of this machine: a process, a fork, a commit
    #[arg(long)]
    floor: bool,
    /// Compare with the JSON lines of an earlier run
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Also on this database, which may keep what the bench leaves in it: `postgres://…`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Take the release programs as they are
    #[arg(long)]
    no_build: bool,
    /// Repetitions of each case
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Duration of the attack of `soak`, each time
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: u64,
    /// Runs that `burst` asks for at once
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Measure the programs in this folder as they are
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Measures the cases one after the other; one that cannot be measured does not stop the others.
pub(crate) fn run(root: &Path, arguments: &BenchArgs) -> anyhow::Result<ExitCode> {
    let old = arguments.compare.as_deref().map(line::read).transpose()?.unwrap_or_default();
    let build = !arguments.no_build && arguments.programs.is_none();
    let machine = Machine::new(root, arguments.rounds, build)?;
    let machine = machine
        .with_database(arguments.database.clone())
        .with_programs(arguments.programs.as_deref())?
        .attacked_for(Duration::from_secs(arguments.seconds))
        .asked_for(usize::try_from(arguments.runs)?);
    let mut failed = false;
    let mut out = std::io::stdout().lock();
    for case in cases::ALL {
        let asked = match case.name {
            "floor" => arguments.floor,
            // Minutes: only by name.
            "burst" | "soak" => false,
            _ => arguments.cases.is_empty(),
        };
        if !asked && !arguments.cases.iter().any(|name| name == case.name) {
            continue;
        }
        let mut talk = std::io::stderr().lock();
        writeln!(talk, "bench: {} (load {})", case.name, machine.load())?;
        match (case.measure)(&machine) {
            Ok(lines) => print(&mut out, &lines, &old, arguments.json)?,
            Err(why) => {
                failed = true;
                writeln!(talk, "bench: {} cannot be measured: {why:#}", case.name)?;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(
    out: &mut impl std::io::Write,
    lines: &[Line],
    old: &[Line],
    json: bool,
) -> anyhow::Result<()> {
    for line in lines {
        if json {
            writeln!(out, "{}", line.json())?;
        } else {
            writeln!(out, "{}", line.row(old))?;
        }
    }
    out.flush()?;
    Ok(())
}
