//! Traces of runs for OpenTelemetry: a span for each run, below it one for each attempt of its steps,
//! made from the journal when the run has ended.
//!
//! Reading order: [`names`], `spans` (from the journal to spans, pure), `export` (from a queue to a
//! collector). Must not slow a run down, and must not reveal content of steps: no outputs, logs, inputs or
//! secrets.

mod export;
pub mod names;
mod spans;

pub use export::{Collector, Exporter, TraceError};
