//! One measurement: its samples boiled down, its JSON line, its row in the table, its ratio to an older one.
//!
//! Must not measure.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value as Json, json};

/// A measurement. Times are in the line's unit.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) case: String,
    pub(crate) config: String,
    pub(crate) unit: String,
    samples: Vec<f64>,
    per_s: Option<f64>,
    rss_mb: Option<f64>,
    load: String,
}

// === impl Line ===

impl Line {
    /// A measurement of some samples, at least one.
    pub(crate) fn new(
        case: &str,
        config: &str,
        unit: &str,
        mut samples: Vec<f64>,
        load: String,
    ) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            case: case.to_owned(),
            config: config.to_owned(),
            unit: unit.to_owned(),
            samples,
            per_s: None,
            rss_mb: None,
            load,
        }
    }

    /// With a rate in 1/s.
    pub(crate) fn per_second(mut self, rate: f64) -> Self {
        self.per_s = Some(rate);
        self
    }

    /// With the largest resident memory of the engine in MiB.
    pub(crate) fn resident(mut self, mib: f64) -> Self {
        self.rss_mb = Some(mib);
        self
    }

    /// The sample below which this share lies.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.samples.len().saturating_sub(1) as f64;
        self.samples.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// As performance.md has it, with the smallest sample and the load of the machine.
    pub(crate) fn json(&self) -> Json {
        json!({
            "case": self.case, "config": self.config, "n": self.samples.len(), "unit": self.unit,
            "min": round(self.at(0.0)), "p50": round(self.at(0.5)), "p99": round(self.at(0.99)),
            "per_s": self.per_s.map(round), "rss_mb": self.rss_mb.map(round), "load": self.load,
        })
    }

    /// For people, with the ratio to the same measurement of an earlier run.
    pub(crate) fn row(&self, old: &[Self]) -> String {
        let name = format!("{} ({})", self.case, self.config);
        let mut row = format!(
            "{name:<44} min {:>9.3}  p50 {:>9.3}  p99 {:>9.3} {:<8} n {}",
            self.at(0.0),
            self.at(0.5),
            self.at(0.99),
            self.unit,
            self.samples.len()
        );
        if let Some(rate) = self.per_s {
            row.push_str(&format!("  {rate:.0}/s"));
        }
        if let Some(mib) = self.rss_mb {
            row.push_str(&format!("  {mib:.1} MiB"));
        }
        let before = old.iter().find(|old| old.case == self.case && old.config == self.config);
        if let Some(before) = before {
            row.push_str(&format!(
                "  ×{:.2} of before (min ×{:.2})",
                self.at(0.5) / before.at(0.5),
                self.at(0.0) / before.at(0.0)
            ));
        }
        row
    }

    fn from_json(json: &Json) -> Option<Self> {
        let number = |name: &str| json.get(name).and_then(Json::as_f64);
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        // Three samples that give the same min, median and p99 again.
        let samples = vec![number("min")?, number("p50")?, number("p99")?];
        let load = text("load").unwrap_or_default();
        let mut line = Self::new(&text("case")?, &text("config")?, &text("unit")?, samples, load);
        line.per_s = number("per_s");
        line.rss_mb = number("rss_mb");
        Some(line)
    }
}

/// The measurements of an earlier `--json` run.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let parse = |line: &str| {
        let json: Json = serde_json::from_str(line)?;
        Line::from_json(&json).context("a line without case, config, unit, min, p50 and p99")
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

/// Six digits are more than any clock here deserves.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::Line;

    fn line(samples: Vec<f64>) -> Line {
        Line::new("chain100", "sqlite normal", "ms/step", samples, "0.10".to_owned())
    }

    #[test]
    fn samples_become_the_least_the_middle_and_the_last() {
        let line = line(vec![5.0, 1.0, 2.0]);
        assert_eq!((line.at(0.0), line.at(0.5), line.at(0.99)), (1.0, 2.0, 5.0));
        assert!(line.row(&[]).contains("chain100 (sqlite normal)"));
    }

    #[test]
    fn a_line_is_read_back_and_compared() {
        let before = Line::from_json(&line(vec![1.0, 2.0, 3.0]).json()).unwrap();
        let now = line(vec![3.0, 3.0, 3.0]);
        assert!(now.row(&[before]).ends_with("×1.50 of before (min ×3.00)"));
    }
}
