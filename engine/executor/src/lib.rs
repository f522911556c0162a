//! The executor: drives runs. It folds the journal, applies inputs with `plue-flow`, commits the facts, and
//! only then performs their effects, one file per effect under [`perform`].
//!
//! Must not decide a status: `plue-flow` does. Must not contain SQL: `plue-store` does. Nothing is performed
//! before it is committed, and all state can be derived from the store again after a crash.
#![forbid(unsafe_code)]

pub mod answer;
mod batch;
pub mod child_slots;
pub mod claude;
pub mod codes;
pub mod disk;
mod driver;
mod driver_lease;
pub mod engine;
mod engine_registry;
pub mod error;
mod loaded;
pub mod perform;
pub mod reach;
pub mod rerun;
pub mod retention;
pub mod run_lock;
pub mod submit;
pub mod trace;

pub use crate::{
    driver::{Canceller, RunHandle},
    engine::{AttemptOptions, DrivingOptions, Engine, Options, Taken, WorkspaceOptions},
    error::Error,
    loaded::{Loaded, MAX_UNTRUSTED, Origin, relocated},
    submit::Submission,
};
pub use plue_pool::Isolation;
