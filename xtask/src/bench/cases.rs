//! The cases, one file each. Must not share state with each other but the machine.

mod burst;
mod chain100;
mod cold;
mod drain1000;
mod eval;
mod fan100;
mod floor;
mod idle;
mod llm_stream;
mod log1m;
mod plan5000;
mod scale;
mod seq40_python;
mod serve;
mod soak;
mod sse_idle;
mod transition;
mod whole;

use super::{line::Line, machine::Machine};

/// A thing that is measured.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) measure: fn(&Machine) -> anyhow::Result<Vec<Line>>,
}

/// In the order of docs/explanation/performance.md.
pub(crate) const ALL: &[Case] = &[
    Case { name: "floor", measure: floor::measure },
    Case { name: "chain100", measure: chain100::measure },
    Case { name: "chain100_pg", measure: chain100::on_server },
    Case { name: "claim", measure: chain100::claim },
    Case { name: "transition", measure: transition::measure },
    Case { name: "fan100", measure: fan100::measure },
    Case { name: "seq40_python", measure: seq40_python::measure },
    Case { name: "cold", measure: cold::measure },
    Case { name: "whole", measure: whole::measure },
    Case { name: "drain1000", measure: drain1000::measure },
    Case { name: "log1m", measure: log1m::measure },
    Case { name: "eval", measure: eval::measure },
    Case { name: "plan5000", measure: plan5000::measure },
    Case { name: "idle", measure: idle::measure },
    Case { name: "scale", measure: scale::measure },
    Case { name: "submit", measure: serve::submit },
    Case { name: "webhook", measure: serve::webhook },
    Case { name: "sse", measure: serve::sse },
    Case { name: "sse_idle", measure: sse_idle::measure },
    Case { name: "llm_stream", measure: llm_stream::measure },
    Case { name: "served", measure: burst::served },
    Case { name: "burst", measure: burst::measure },
    Case { name: "soak", measure: soak::measure },
];

/// Names of cases on the command line.
pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|case| case.name).collect()
}
