//! A thousand queued runs of one step through one engine: an example of the executor.

use crate::bench::{line::Line, machine::Machine};

/// Runs, as the example reads it.
const RUNS: &str = "1000";

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let runner = machine.program("plue-runner");
    let runner = runner.to_string_lossy();
    let mut lines = Vec::new();
    for database in machine.databases() {
        for at_once in ["1", "4", "8"] {
            let mut args = vec![&*runner, RUNS, at_once];
            args.extend(database.url.as_deref());
            let config = format!("{}, {RUNS} runs, {at_once} at once", database.name);
            lines.extend(measure_one(machine, &config, &args)?);
        }
    }
    Ok(lines)
}

fn measure_one(machine: &Machine, config: &str, args: &[&str]) -> anyhow::Result<Vec<Line>> {
    let (mut seconds, mut waits, mut rate) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..machine.rounds.min(3) {
        let output = machine.example("plue-executor", "drain", args)?;
        let json: serde_json::Value = serde_json::from_str(output.trim())?;
        let taken = json["seconds"].as_f64().unwrap_or(f64::NAN);
        seconds.push(taken);
        rate = rate.max(RUNS.parse::<f64>()? / taken);
        waits.extend(json["ready_to_started_ms"][0].as_f64());
    }
    let line = Line::new("drain1000", config, "s", seconds, machine.load()).per_second(rate);
    let config = format!("{config}, median from ready to started");
    Ok(vec![line, Line::new("drain1000", &config, "ms", waits, machine.load())])
}
