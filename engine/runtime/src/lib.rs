//! The base of all services: tasks that are named and stopped, a watchdog of their loops, a clock
//! that tests can move, ids, metrics, masks of secrets.
//!
//! The only crate that may start a task, read a clock, draw randomness or name a metrics exporter.
//! Must not know any business rule.
#![forbid(unsafe_code)]

pub mod clock;
pub mod confined_dir;
pub mod foreign;
pub mod ids;
pub mod mask;
pub mod metrics;
pub mod rate;
pub mod shutdown;
pub mod task_set;
pub mod tasks;
pub mod together;
pub mod watchdog;
pub mod websocket;

pub use crate::{
    clock::Clock,
    confined_dir::ConfinedDir,
    ids::Ids,
    shutdown::{Phase, Shutdown, Stop},
    task_set::TaskSet,
    tasks::{Task, TaskFailure, Tasks},
    watchdog::Watchdog,
};
