//! Counters and histograms of plue, and their text form for Prometheus.
//!
//! The only module that names the exporter; other rooms use the constants of [`names`]. Until
//! [`install`] is called, recording costs next to nothing and is forgotten. A label is one of few
//! words: never a path or an id, or the number of series would grow without bound. A gauge by
//! repository names a bounded number of them.

pub mod names;

use std::{io, path::Path, sync::OnceLock};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

static EXPORTER: OnceLock<PrometheusHandle> = OnceLock::new();

/// A label and its value.
pub type Label = (&'static str, &'static str);

/// A number that only grows. Its name ends with `_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The name in Prometheus, with its unit.
    pub name: &'static str,
    /// Counted events, and their labels.
    pub description: &'static str,
}

/// A number that rises and falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// Its name in the exported text.
    pub name: &'static str,
    /// The quantity that it is the current value of, and its labels.
    pub description: &'static str,
}

/// The distribution of measured values. Its name ends with the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram {
    /// The name in Prometheus, with its unit.
    pub name: &'static str,
    /// Measured quantity, and its labels.
    pub description: &'static str,
    /// The unit of the values: `seconds`, `bytes` or `dollars`.
    pub unit: &'static str,
    /// Upper bounds of the buckets, ascending.
    pub buckets: &'static [f64],
}

/// The exporter cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A metric is declared without buckets, or another recorder is installed.
    #[error("metrics cannot be recorded")]
    Build(#[from] BuildError),
}

// === impl Counter ===

impl Counter {
    /// Adds one to the series of these labels.
    pub fn increment(&self, labels: &[Label]) {
        self.add(1, labels);
    }

    /// Counts so many more.
    pub fn add(&self, count: u64, labels: &[Label]) {
        metrics::counter!(self.name, labels).increment(count);
    }
}

// === impl Gauge ===

impl Gauge {
    /// Sets the current value, in the metric's unit.
    pub fn set(&self, value: f64, labels: &[Label]) {
        metrics::gauge!(self.name, labels).set(value);
    }

    /// The same for one of a bounded set of names, which the caller keeps.
    pub fn set_of(&self, value: f64, label: &'static str, name: &str) {
        metrics::gauge!(self.name, &[(label, name.to_owned())]).set(value);
    }
}

// === impl Histogram ===

impl Histogram {
    /// Takes a value in, in the metric's unit.
    pub fn record(&self, value: f64, labels: &[Label]) {
        metrics::histogram!(self.name, labels).record(value);
    }
}

/// From now on everything that is recorded in this process is kept. A second call changes nothing.
///
/// # Errors
/// [`Error`]
pub fn install() -> Result<(), Error> {
    if EXPORTER.get().is_some() {
        return Ok(());
    }
    let mut builder = PrometheusBuilder::new();
    for histogram in names::HISTOGRAMS {
        let name = Matcher::Full(histogram.name.to_owned());
        builder = builder.set_buckets_for_metric(name, histogram.buckets)?;
    }
    let handle = builder.install_recorder()?;
    for counter in names::COUNTERS {
        metrics::describe_counter!(counter.name, counter.description);
    }
    for gauge in names::GAUGES {
        metrics::describe_gauge!(gauge.name, gauge.description);
    }
    for histogram in names::HISTOGRAMS {
        metrics::describe_histogram!(histogram.name, histogram.description);
    }
    // Two calls at the same time: the second one's recorder was refused above.
    let _first = EXPORTER.set(handle);
    Ok(())
}

/// Everything recorded so far in Prometheus' text format 0.0.4; empty before [`install`]. Labels of
/// a series are in the order of the call that recorded it.
#[must_use]
pub fn render() -> String {
    EXPORTER.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Moves recorded values into the buckets. A process that never calls [`render`] must call it every
/// few seconds, or values pile up.
pub fn upkeep() {
    if let Some(exporter) = EXPORTER.get() {
        exporter.run_upkeep();
    }
}

/// Writes [`render`] to a file as the textfile collector of `node_exporter` wants it: a reader of
/// the file sees the old text or the new one, never a part. Its name should end with `.prom`.
///
/// # Errors
/// The temporary file cannot be written, or not be renamed.
pub fn write_file(path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    // Not `.prom` at its end, so that the collector does not read it before its time.
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written =
        std::fs::write(&temporary, render()).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _best_effort = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::{names, *};

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        for counter in names::COUNTERS {
            assert!(counter.name.starts_with("plue_") && plain(counter.name), "{counter:?}");
            assert!(counter.name.ends_with("_total"), "{counter:?}");
        }
        for gauge in names::GAUGES {
            assert!(gauge.name.starts_with("plue_") && plain(gauge.name), "{gauge:?}");
        }
        for histogram in names::HISTOGRAMS {
            assert!(histogram.name.starts_with("plue_") && plain(histogram.name), "{histogram:?}");
            assert!(histogram.name.ends_with(histogram.unit), "{histogram:?}");
            assert!(histogram.buckets.is_sorted() && !histogram.buckets.is_empty());
        }
    }

    /// One test, as there is one recorder per process.
    #[test]
    fn recorded_metrics_are_rendered_and_written_whole() {
        names::EVALUATIONS.increment(&[("trust", "own"), ("outcome", "plan")]);
        assert_eq!(render(), "");
        install().unwrap();
        install().unwrap();
        names::EVALUATIONS.increment(&[("trust", "own"), ("outcome", "plan")]);
        names::EVALUATION_CPU.record(0.003, &[("trust", "own")]);
        upkeep();
        let text = render();
        for line in [
            "# TYPE plue_evaluations_total counter",
            "plue_evaluations_total{trust=\"own\",outcome=\"plan\"} 1",
            "# TYPE plue_evaluation_cpu_seconds histogram",
            "plue_evaluation_cpu_seconds_bucket{trust=\"own\",le=\"0.002\"} 0",
            "plue_evaluation_cpu_seconds_bucket{trust=\"own\",le=\"0.005\"} 1",
            "plue_evaluation_cpu_seconds_count{trust=\"own\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plue.prom");
        std::fs::write(&path, "old").unwrap();
        write_file(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_file(&folder.path().join("absent/plue.prom")).is_err());
    }
}
