//! From the start of `plue run` to the first thing its step does: the step writes bash's own clock.

use anyhow::Context as _;

use crate::bench::{
    line::Line,
    machine::{Machine, wall_seconds},
};

/// More rounds than elsewhere: one is short.
const FACTOR: u32 = 6;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (config, changes) in [("new source", true), ("same source again", false)] {
        sample(machine, "0")?;
        let mut samples = Vec::new();
        for round in 0..machine.rounds * FACTOR {
            let name = if changes { format!("{config} {round}") } else { "0".to_owned() };
            samples.push(sample(machine, &name)?);
        }
        lines.push(Line::new("cold", config, "ms", samples, machine.load()));
    }
    Ok(lines)
}

fn sample(machine: &Machine, name: &str) -> anyhow::Result<f64> {
    let step = r#"Step.bash("clock", 'LC_ALL=C; echo "$EPOCHREALTIME"')"#;
    let source = format!("def workflow():\n    return Plan(\"cold {name}\", steps=[{step}])\n");
    machine.workflow(&source)?;
    let start = wall_seconds();
    let ran = machine.run()?;
    let began = ran.output("clock").context("the step wrote no time")?;
    Ok((began.trim().parse::<f64>()? - start) * 1e3)
}
