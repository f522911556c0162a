//! Runners: their processes, their sessions, and the lease a run has on one.
//!
//! Holds no truth in memory: what a runner owns stands in the store, and after any crash the same
//! lease can be taken up from there. Must not decide a status: it reports [`PoolEvent`]s.
#![forbid(unsafe_code)]

pub mod dialed;
pub mod error;
mod idle;
mod keeping;
pub mod lease;
mod leftovers;
pub mod local;
mod session;
mod supervisor;
pub mod walls;

pub use crate::{
    error::Error,
    keeping::RunLimits,
    lease::{Command, Ended, Lease, PoolEvent},
    local::{LocalPool, Options, Place},
    walls::{Apart, Local, RequiredFor, Untrusted},
};
