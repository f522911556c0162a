//! `plue run` of one `true` as a person waits for it: from exec until the process has ended.

use crate::bench::{
    line::Line,
    machine::{Machine, timed},
};

/// More rounds than elsewhere: one is short.
const FACTOR: u32 = 6;
const YAML: &str = "version: \"1.0\"\nname: whole\ntasks:\n  - id: one\n    run: \"true\"\n";

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for config in ["known file", "new file", "only YAML"] {
        let mut samples = Vec::new();
        for round in 0..=machine.rounds * FACTOR {
            match config {
                "only YAML" => machine.only_workflow("ci.plue.yaml", YAML)?,
                "new file" => machine.workflow(&python(round))?,
                _ => machine.workflow(&python(0))?,
            }
            let (took, ran) = timed(|| machine.plue(&["run", "--quiet"]));
            ran?;
            // The first one makes the database, or the known file known.
            samples.extend((round > 0).then_some(took));
        }
        lines.push(Line::new("whole", config, "ms", samples, machine.load()));
    }
    machine.workflow(&python(0))?;
    Ok(lines)
}

fn python(round: u32) -> String {
    format!(
        "def workflow():\n    return Plan(\"whole {round}\", steps=[Step.bash(\"one\", \"true\")])\n"
    )
}
