//! The cost of a database full of runs, against an empty one: an example of the store.

use crate::bench::{cases::plan5000::field, line::Line, machine::Machine};

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let url = format!("sqlite:{}", machine.scratch().join("scale.db").display());
    let mut lines = Vec::new();
    for url in std::iter::once(url).chain(machine.server().and_then(|server| server.url)) {
        for line in machine.example("plue-store", "scale", &[&url])?.lines() {
            let json: serde_json::Value = serde_json::from_str(line)?;
            let number = |name: &str| json.get(name).and_then(serde_json::Value::as_f64);
            let points = [number("p50"), number("p50"), number("p99")].into_iter().flatten();
            let config = format!("{}, {}", field(&json, "config"), field(&json, "case"));
            let points = points.collect();
            lines.push(Line::new("scale", &config, field(&json, "unit"), points, machine.load()));
        }
    }
    Ok(lines)
}
