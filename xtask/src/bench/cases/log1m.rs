//! A step that prints a million lines of 100 bytes: until they are stored, read back, the end, a search.

use std::time::Duration;

use anyhow::bail;

use crate::bench::{
    line::Line,
    machine::{Machine, mark, memory_mib, millis, pause, timed},
};

const BYTES: usize = 100_000_000;

/// 99 bytes and the line's end; the last line is another one.
const SOURCE: &str = r#"
FLOOD = """
line=$(printf '%099d' 7)
yes "$line" | head -n 999999
printf 'needle%093d\\n' 7
"""

def workflow():
    return Plan("log", steps=[Step.bash("flood", "set +o pipefail" + FLOOD)])
"#;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    machine.workflow(SOURCE)?;
    let mut databases = machine.databases();
    // A power cut may cost commits, but there are few here.
    databases.retain(|database| database.name != "sqlite full");
    machine.on_each(databases, |name| measure_on(machine, name))
}

fn measure_on(machine: &Machine, name: &str) -> anyhow::Result<Vec<Line>> {
    let (mut stored, mut all, mut tail, mut search) = (vec![], vec![], vec![], vec![]);
    let mut peak = 0.0_f64;
    for _ in 0..machine.rounds {
        peak = peak.max(run(machine)?);
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
