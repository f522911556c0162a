//! A hundred `true` in a chain, and how long each waits for its process.

use std::time::Duration;

use anyhow::Context as _;

use super::serve::Serving;
use crate::bench::{
    line::Line,
    machine::{Machine, micros, pause},
};

const STEPS: f64 = 100.0;

const SOURCE: &str = r#"
def workflow():
    return Plan("chain", triggers=[Trigger.on_manual()], steps=[
        Step.bash(f"s{n}", "true", depends_on=[f"s{n - 1}"] if n else []) for n in range(100)
    ])
"#;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    machine.workflow(SOURCE)?;
    machine.on_each(machine.databases(), |name| {
        machine.run()?;
        let mut samples = Vec::new();
        for _ in 0..machine.rounds {
            samples.push(machine.run()?.duration_ms()? / STEPS);
        }
        Ok(vec![Line::new("chain100", name, "ms/step", samples, machine.load())])
    })
}

/// Through a running server; its first run, which connects to the database, does not count.
pub(crate) fn on_server(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let databases = machine.databases().into_iter().skip(1).collect();
    machine.on_each(databases, |name| {
        let serving = Serving::start(machine, SOURCE)?;
        let mut samples = Vec::new();
        for _ in 0..=machine.rounds {
            let path = format!("/api/v1/runs/{}", serving.submit("chain")?);
            let mut run = serving.get(&path)?;
            while run["ended_at"].is_null() {
                pause(Duration::from_millis(50));
                run = serving.get(&path)?;
            }
            let (start, end) = (micros(&run["started_at"]), micros(&run["ended_at"]));
            let taken = end.zip(start).map(|(end, start)| (end - start) / 1e3);
            samples.push(taken.context("the run has not ended")? / STEPS);
        }
        let samples = samples.split_off(1);
        let config = format!("{name}, through a server");
        Ok(vec![Line::new("chain100_pg", &config, "ms/step", samples, machine.load())])
    })
}

/// The runner is warm from the second step on.
pub(crate) fn claim(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    machine.workflow(SOURCE)?;
    let mut samples = Vec::new();
    for _ in 0..machine.rounds {
        samples.extend(machine.run()?.waits_ms().into_iter().skip(1));
    }
    Ok(vec![Line::new("claim", "ready to process, local", "ms", samples, machine.load())])
}
