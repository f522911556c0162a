//! The metrics of a command, written to a file at its end: `--metrics-file`.
//!
//! Must not change how a command ends: an unwritable file is a warning.

use std::path::PathBuf;

use plue_runtime::metrics;

use crate::{app::App, output};

/// The metrics of this process, on their way to a file.
#[must_use]
#[derive(Debug)]
pub struct Metrics(Option<PathBuf>);

/// Records from now on, if anybody wants to read it.
pub fn begin(app: &App) -> Metrics {
    let path = app.loaded.config.metrics_file.clone();
    let path = path.filter(|_| match metrics::install() {
        Ok(()) => true,
        Err(error) => {
            output::report(&format!("no metrics: {error}"));
            false
        }
    });
    Metrics(path)
}

// === impl Metrics ===

impl Metrics {
    /// Writes the file, whatever became of the command.
    pub fn end(self) {
        let Some(path) = self.0 else { return };
        if let Err(error) = metrics::write_file(&path) {
            output::report(&format!(
                "the metrics cannot be written to {}: {error}",
                path.display()
            ));
        }
    }
}
