//! The flow: pure functions that decide what happens next in a run.
//!
//! A run is a journal of [`Fact`]s. [`Run::apply`] takes an [`Input`] from outside and returns the
//! facts that follow from it and the [`Effect`]s that the shell must perform; [`Run::evolve`] folds
//! a fact into the state. Only this crate decides a status (invariant 1), by the tables in
//! [`machine`]. `docs/reference/semantics.md` has the rules.
//!
//! Must not await, do I/O, read a clock, draw randomness or know anything but plue-plan: time
//! enters as an argument.
#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod backoff;
pub mod effect;
pub mod error;
pub mod executor;
pub mod fact;
pub mod input;
pub mod machine;
pub mod quotas;
pub mod run;
pub mod status;
pub mod view;
pub mod wait;
mod words;

pub use crate::{
    effect::Effect,
    error::{IllegalFact, Rejected},
    fact::Fact,
    input::Input,
    run::{Run, Transition},
    status::{AttemptStatus, RunStatus, StepStatus},
    view::{AttemptView, RunView, StepValuesView, StepView},
    wait::{AskedCall, Awaited, CallRequest, Child, Decision},
};
