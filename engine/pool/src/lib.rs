//! Runners: their processes, their sessions, and the lease a run has on one.
//!
//! Has no authoritative state in memory: the attempts of a runner are in the store, and after any
//! crash the same lease can be recovered from there. Must not decide a status: it reports
//! [`PoolEvent`]s.
#![forbid(unsafe_code)]

mod content;
pub mod dialed;
pub mod error;
pub mod fleet;
mod idle;
pub mod lease;
pub mod local;
mod moves;
mod orphans;
pub mod sandbox;
mod session;
mod supervisor;

pub use crate::{
    content::RunLimits,
    error::Error,
    lease::{Command, Ended, Lease, PoolEvent},
    local::{LocalPool, Options, WorkDir},
    sandbox::{Isolation, Local, RequiredFor, Untrusted},
};
