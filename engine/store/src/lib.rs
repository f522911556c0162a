//! The store: all SQL of plue, on SQLite and on Postgres behind one surface.
//!
//! It keeps plans, the journals of runs, the rows that show them, attempts with fences, log bytes,
//! runners and engines. It checks who may write (fences, sequence numbers, the length of the journal a
//! decision was made on) and never decides what a status is: that is plue-flow's. Nothing is
//! acknowledged before it is committed. Must not hold truth in memory.
#![forbid(unsafe_code)]

mod attempt;
mod changes;
mod commit;
mod engine;
pub mod error;
mod events;
mod fence;
mod log;
mod migrate;
mod op;
mod options;
mod plan;
mod postgres;
mod request;
mod retention;
mod run;
mod runner;
mod sql;
mod sqlite;
mod store;

pub use crate::{
    attempt::AttemptRow,
    commit::{Assign, AttemptEnd, Committed, NewAttempt, NewRun, Refused, RunCommit},
    engine::EngineRow,
    error::Error,
    events::Appended,
    log::{LogHit, LogPiece, LogRange, LogStat, LogStream},
    migrate::SCHEMA_VERSION,
    options::{Durability, StoreOptions},
    plan::CachedPlans,
    request::CancelRequest,
    run::{RunFilter, RunRow, RunSource, StepRow, StoredRun},
    runner::{ClaimedAttempt, RunnerRow, RunnerState},
    store::Store,
};
