//! A plan of 5,000 steps and 20,000 edges, validated and sealed: an example of plue-plan.

use anyhow::Context as _;
use serde_json::Value as Json;

use crate::bench::{line::Line, machine::Machine};

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let mut samples = Vec::new();
    for _ in 0..machine.rounds {
        let output = machine.example("plue-plan", "plan5000", &[])?;
        let line = output.lines().find(|line| line.starts_with("5000 steps"));
        let total = line.and_then(|line| line.split_once("= ")?.1.split_once(" ms"));
        let (total, _) = total.context("plan5000 prints no total")?;
        samples.push(total.parse()?);
    }
    Ok(vec![Line::new("plan5000", "validate and seal", "ms", samples, machine.load())])
}

/// A text of a JSON line, or nothing.
pub(crate) fn field<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}
