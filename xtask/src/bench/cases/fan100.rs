//! A hundred parallel `true` and one step behind them all, two at a time and without a bound.

use crate::bench::{line::Line, machine::Machine};

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (config, bound) in [("2 at a time", "2"), ("unlimited", "None")] {
        machine.workflow(&source(bound))?;
        machine.run()?;
        let mut samples = Vec::new();
        for _ in 0..machine.rounds {
            samples.push(machine.run()?.duration_ms()?);
        }
        lines.push(Line::new("fan100", config, "ms", samples, machine.load()));
    }
    Ok(lines)
}

fn source(bound: &str) -> String {
    format!(
        r#"
def workflow():
    fan = [Step.bash(f"s{{n}}", "true") for n in range(100)]
    return Plan("fan", max_parallel={bound}, steps=[*fan, Step.bash("join", "true", depends_on=fan)])
"#
    )
}
