//! What every service shares: tasks that are named and stopped, a clock that tests can move, ids.
//!
//! The only crate that may start a task, read a clock or draw randomness. Must not know any
//! business rule.
#![forbid(unsafe_code)]

pub mod clock;
pub mod ids;
pub mod shutdown;
pub mod tasks;

pub use crate::{
    clock::Clock,
    ids::Ids,
    shutdown::{Phase, Shutdown, Stop},
    tasks::Tasks,
};
