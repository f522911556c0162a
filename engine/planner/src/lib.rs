//! From workflow sources to validated, hashed plans.
//!
//! Owns the evaluator processes, answers their requests about the commit, and trusts none of their
//! replies: every plan is parsed, canonicalized and validated here. Must not run a step, decide a
//! status or touch the database.
//!
//! Reading order: [`planner`], [`view`], [`pool`], [`read_set`], [`session`].
#![forbid(unsafe_code)]

mod bucket;
pub mod cache;
pub mod codes;
mod declared;
mod difference;
pub mod discover;
mod error;
mod exchange;
mod judge;
mod literals;
pub mod planner;
pub mod pool;
mod process;
pub mod read_set;
pub mod session;
mod sources;
pub mod texts;
pub mod view;

pub use crate::{
    bucket::Rate,
    cache::{CachedPlans, PlanCache},
    difference::{Difference, first_difference},
    discover::{Discovery, WorkflowFile, WorkflowKind, discover, find_by_name},
    error::{Error, PlanError},
    judge::{Draft, PlannedWorkflow},
    planner::{Evaluated, PlanRequest, Planner},
    pool::{EvaluatorPool, Options, Trust},
    read_set::{ReadSet, Verification},
    view::{CommitView, GitCommit, ViewError, WorkTree},
};
