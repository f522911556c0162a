//! What every service shares: tasks that are named and stopped, a clock that tests can move, ids,
//! metrics.
//!
//! The only crate that may start a task, read a clock, draw randomness or name a metrics exporter. Must not know any
//! business rule.
#![forbid(unsafe_code)]

pub mod beneath;
pub mod clock;
pub mod ids;
pub mod metrics;
pub mod shutdown;
pub mod tasks;

pub use crate::{
    beneath::Beneath,
    clock::Clock,
    ids::Ids,
    shutdown::{Phase, Shutdown, Stop},
    tasks::Tasks,
};
