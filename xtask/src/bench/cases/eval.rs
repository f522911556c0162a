//! The evaluator alone: an example of its own crate.

use crate::bench::{cases::plan5000::field, line::Line, machine::Machine};

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let output = machine.example("plue-evaluator", "bench_eval", &[])?;
    let mut lines = Vec::new();
    for line in output.lines() {
        let json: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| json.get(name).and_then(serde_json::Value::as_f64);
        let line = |config: &str, unit: &str, samples: Vec<f64>| {
            Line::new("eval", config, unit, samples, machine.load())
        };
        match field(&json, "bench") {
            "ready" => {
                lines.extend(number("p50_ms").map(|ms| line("start to hello", "ms", vec![ms])))
            }
            "one" | "pair" => {
                let config = format!("{}, warm", field(&json, "bench"));
                let points = ["min_ms", "p50_ms", "p99_ms"].into_iter().filter_map(number);
                let rate = number("files_per_s").unwrap_or(f64::NAN);
                lines.push(line(&config, "ms", points.collect()).per_second(rate));
            }
            "two_pairs" => {
                let rate = number("files_per_s").unwrap_or(f64::NAN);
                lines.push(line("two pairs at once", "ms", vec![1e3 / rate]).per_second(rate));
            }
            "idle" => {
                let mib = number("pair_kib").unwrap_or(f64::NAN) / 1024.0;
                lines.push(line("warm pair, resident", "MiB", vec![mib]).resident(mib));
            }
            _ => {}
        }
    }
    Ok(lines)
}
