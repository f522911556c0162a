//! A step that prints a million different lines of 100 bytes: until the prompt, read back, the end, a search.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::bail;

use crate::bench::{
    line::Line,
    machine::{Machine, mark, memory_mib, millis, pause, timed},
};

const BYTES: usize = 100_000_000;
const LINES: u64 = 1_000_000;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let printed = machine.scratch().join("mixed.log");
    mixed(&printed)?;
    let step = format!("Step.bash(\"flood\", \"cat {}\")", printed.display());
    machine.workflow(&format!("def workflow():\n    return Plan(\"log\", steps=[{step}])\n"))?;
    let mut databases = machine.databases();
    // A power cut may cost commits, but there are few here.
    databases.retain(|database| database.name != "sqlite full");
    machine.on_each(databases, |name| measure_on(machine, name))
}

fn measure_on(machine: &Machine, name: &str) -> anyhow::Result<Vec<Line>> {
    let (mut stored, mut prompt) = (vec![], vec![]);
    let (mut all, mut tail, mut search) = (vec![], vec![], vec![]);
    let mut peak = 0.0_f64;
    for _ in 0..machine.rounds {
        let (took, high) = timed(|| run(machine));
        prompt.push(took);
        peak = peak.max(high?);
        stored.push(machine.last()?.duration_ms()?);
        let (took, read) = timed(|| machine.plue(&["logs", "last", "flood"]));
        if read?.stdout.len() != BYTES {
            bail!("the log that was read back has another length");
        }
        all.push(took);
        let (took, printed) = timed(|| machine.plue(&["logs", "last", "flood", "--tail", "100"]));
        printed?;
        tail.push(took);
        let (took, printed) =
            timed(|| machine.plue(&["logs", "last", "flood", "--search", "needle"]));
        printed?;
        search.push(took);
    }
    let line = |what: &str, samples| {
        Line::new("log1m", &format!("{name}, {what}"), "ms", samples, machine.load())
    };
    Ok(vec![
        line("until stored", stored).resident(peak),
        line("until the prompt", prompt),
        line("read back, with the process", all),
        line("last 100 lines, with the process", tail),
        line("search, with the process", search),
    ])
}

/// One run; the largest resident memory of the engine in MiB.
fn run(machine: &Machine) -> anyhow::Result<f64> {
    let mut child = machine.start(&["run", "--quiet"])?;
    let (mut peak, start) = (0.0_f64, mark());
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("the run failed");
            }
            return Ok(peak);
        }
        peak = peak.max(memory_mib(child.id(), "VmHWM").unwrap_or(0.0));
        if millis(start) > 60_000.0 {
            // Through the engine, so that neither the runner nor the step is left behind.
            machine.plue(&["cancel", "last", "--kill"])?;
            child.wait()?;
            bail!("the run did not end in a minute");
        }
        pause(Duration::from_millis(5));
    }
}

/// Lines as a build prints them: each with a number and other words; compressed to about a third. The last
/// one has the needle.
fn mixed(path: &Path) -> anyhow::Result<()> {
    let (mut file, mut state) = (BufWriter::new(File::create(path)?), 0x9e37_79b9_7f4a_7c15_u64);
    for number in 0..LINES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = if number + 1 == LINES { "needle" } else { "built" };
        let text = format!("{number:08} {word} target/debug/{state:016x}.o in {} ms", state % 900);
        writeln!(file, "{text:<99}")?;
    }
    Ok(file.flush()?)
}
