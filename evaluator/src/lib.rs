//! The evaluator: a jailed `CPython` that turns one workflow file into plans.
//!
//! A separate program, spawned by the engine with a stream socket as standard input. One warm
//! interpreter (the zygote) forks a child per request; the kernel locks the child before the file's
//! first byte is parsed. Must not reach anything but its pipe, and must not be linked into the
//! engine. The engine parses and validates its whole output again.

mod child;
pub mod exit;
mod hello;
pub mod interpreter;
pub mod jail;
pub mod kernel;
pub mod language;
pub mod options;
#[cfg(feature = "raw-language")]
mod raw;
pub mod report;
mod run;
mod zygote;

pub use run::run;

/// An error and all its sources, in one line.
#[must_use]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
