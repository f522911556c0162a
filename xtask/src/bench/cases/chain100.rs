//! A hundred `true` in a chain, and how long each waits for its process.

use crate::bench::{line::Line, machine::Machine};

const STEPS: f64 = 100.0;

const SOURCE: &str = r#"
def workflow():
    return Plan("chain", steps=[
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

/// The runner is warm from the second step on.
pub(crate) fn claim(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    machine.workflow(SOURCE)?;
    let mut samples = Vec::new();
    for _ in 0..machine.rounds {
        samples.extend(machine.run()?.waits_ms().into_iter().skip(1));
    }
    Ok(vec![Line::new("claim", "ready to process, local", "ms", samples, machine.load())])
}
