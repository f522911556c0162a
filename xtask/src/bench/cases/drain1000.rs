//! A thousand queued runs of one step through one engine: an example of the executor.

use crate::bench::{line::Line, machine::Machine};

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let runner = machine.program("plue-runner");
    let runner = runner.to_string_lossy();
    let mut lines = Vec::new();
    for (config, runs, at_once) in
        [("1000 runs, 4 at once", "1000", "4"), ("1000 runs, 16 at once", "1000", "16")]
    {
        let (mut seconds, mut rate) = (Vec::new(), 0.0_f64);
        for _ in 0..machine.rounds.min(3) {
            let said = machine.example("plue-executor", "drain", &[&runner, runs, at_once])?;
            let json: serde_json::Value = serde_json::from_str(said.trim())?;
            let taken = json["seconds"].as_f64().unwrap_or(f64::NAN);
            seconds.push(taken);
            rate = rate.max(runs.parse::<f64>()? / taken);
        }
        let line = Line::new("drain1000", config, "s", seconds, machine.load());
        lines.push(line.per_second(rate));
    }
    Ok(lines)
}
