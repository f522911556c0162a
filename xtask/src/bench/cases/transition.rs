//! A durable transition without a process: the pure part (an example of plue-flow) and the commit (of
//! plue-store).

use serde_json::Value as Json;

use crate::bench::{cases::plan5000::field, line::Line, machine::Machine};

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for line in machine.example("plue-flow", "transitions", &[])?.lines() {
        let Some((name, rest)) = line.trim().split_once(": ") else { continue };
        let Some(micros) = rest.split(' ').next().and_then(micros) else { continue };
        let config = format!("pure, {name}");
        lines.push(Line::new("transition", &config, "us", vec![micros], machine.load()));
    }
    let url = format!("sqlite:{}", machine.scratch().join("transition.db").display());
    let urls = std::iter::once(url).chain(machine.server().and_then(|server| server.url));
    let urls: Vec<String> = urls.collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    for line in machine.example("plue-store", "store_bench", &urls)?.lines() {
        let json: Json = serde_json::from_str(line)?;
        let case = field(&json, "case");
        if !case.starts_with("transition") {
            continue;
        }
        let number = |name: &str| json.get(name).and_then(Json::as_f64);
        let points = [number("p50"), number("p50"), number("p99")].into_iter().flatten().collect();
        let config = format!("{}, {}", field(&json, "config"), case.replace('_', " "));
        let line = Line::new("transition", &config, field(&json, "unit"), points, machine.load());
        lines.push(line.per_second(number("per_s").unwrap_or(f64::NAN)));
    }
    Ok(lines)
}

/// Microseconds of a duration as Rust prints it.
fn micros(text: &str) -> Option<f64> {
    let units = [("ns", 1e-3), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn durations_are_read_as_they_are_printed() {
        assert_eq!(micros("2.5µs"), Some(2.5));
        assert_eq!(micros("500ns"), Some(0.5));
        assert_eq!(micros("1.5ms"), Some(1_500.0));
        assert_eq!(micros("fast"), None);
    }
}
