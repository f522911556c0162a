//! The flow: what happens next in a run, decided by pure functions.
//!
//! A run is a journal of [`Fact`]s. [`Run::decide`] takes an [`Input`] from outside and answers with
//! the facts that follow from it; [`Run::evolve`] folds a fact into the state; [`Effect`]s say what
//! the shell must do about a fact. Only this crate decides a status (invariant 1).
//!
//! Must not await, do I/O, read a clock, draw randomness or know anything but plue-plan: time
//! enters as an argument.
#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod effect;
pub mod fact;
pub mod input;
pub mod status;
pub mod view;

pub use crate::{
    effect::Effect,
    fact::Fact,
    input::Input,
    status::{AttemptStatus, RunStatus, StepStatus},
    view::{RunView, StepView},
};
