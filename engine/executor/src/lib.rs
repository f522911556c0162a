//! The executor: advances runs. It folds the journal, hands inputs to `plue-flow`, commits the facts
//! that come back, and only then performs their effects, one file per effect under [`perform`].
//!
//! Must not decide a status: that is the flow's. Must not write SQL: that is the store's. Nothing
//! is performed before it is committed, and everything can be derived again from the store after a
//! crash.
#![forbid(unsafe_code)]

pub mod answer;
mod batch;
pub mod child_places;
pub mod claude;
pub mod codes;
pub mod disk;
mod driver;
pub mod engine;
pub mod error;
pub mod house;
pub mod liveness;
mod loaded;
mod membership;
pub mod perform;
pub mod reach;
mod right;
pub mod submit;
pub mod trace;

pub use crate::{
    driver::{Canceller, RunHandle},
    engine::{Engine, Options, Taken},
    error::Error,
    loaded::{Loaded, MAX_UNTRUSTED, Origin, placed},
    submit::Submission,
};
pub use plue_pool::Apart;
