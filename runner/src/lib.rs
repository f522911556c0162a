//! The runner: dials an engine, executes the attempts it is assigned in one workspace, streams
//! their output and delivers their results, however often the connection breaks.
//!
//! It sees `plue-plan`, `plue-wire` and `plue-runtime` and nothing else of plue. Must not reach the
//! database, hold a forge's or Claude's key, or decide the status of a run.
//!
//! Reading order: [`Runner`] owns all state; `attempt` is one process; `outbox` stores events until
//! they are acknowledged; `fences` stores the fences that were taken; `plue_runtime::mask` hides
//! secrets.

pub mod agent;
mod artifact;
mod attempt;
mod boot;
mod cache;
mod checkpoint;
mod codes;
mod confine;
mod dispatch;
mod error;
mod fences;
mod files;
mod link;
mod options;
mod orphans;
mod outbox;
mod output;
mod outputs;
mod python;
pub mod registered;
pub mod services;
mod system;
mod workspace;

pub use crate::{
    boot::{Booted, Token, boot},
    confine::Gap,
    dispatch::{Leave, Runner, Signals},
    error::Error,
    link::{Dial, Endpoint, EngineDial, ServerDial, UnixDial},
    options::{Options, TokenSource, USAGE},
};
