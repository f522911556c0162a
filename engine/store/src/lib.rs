//! The store: all SQL of plue, on SQLite and on Postgres behind one surface.
//!
//! It keeps plans, the journals of runs, the rows that show them, attempts with fences, log bytes,
//! runners and engines. It checks who may write (fences, sequence numbers, the length of the journal a
//! decision was made on) and never decides what a status is: that is plue-flow's. Nothing is
//! acknowledged before it is committed. Must not hold truth in memory.
#![forbid(unsafe_code)]

mod attempt;
mod audit;
mod changes;
mod commit;
mod delivery;
mod engine;
pub mod error;
mod events;
mod fence;
mod idempotency;
mod log;
mod migrate;
mod op;
mod options;
mod plain;
mod plan;
mod postgres;
pub mod probe;
mod request;
mod retention;
mod run;
mod runner;
mod sql;
mod sqlite;
mod store;
mod token;

pub use crate::{
    attempt::AttemptRow,
    audit::AuditRow,
    commit::{Assign, AttemptEnd, Committed, NewAttempt, NewRun, Refused, RunCommit},
    delivery::{DeliveryRow, DeliveryState},
    engine::EngineRow,
    error::Error,
    events::Appended,
    idempotency::Reservation,
    log::{LogHit, LogPiece, LogRange, LogStat, LogStream},
    migrate::SCHEMA_VERSION,
    options::{Durability, StoreOptions},
    plan::CachedPlans,
    request::CancelRequest,
    run::{RunFilter, RunRow, RunSource, StepRow, StoredRun},
    runner::{ClaimedAttempt, RunnerRow, RunnerState},
    store::Store,
    token::TokenRow,
};
