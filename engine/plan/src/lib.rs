//! The plan: plue's one data model between the people who write flows and the engine that runs them.
//!
//! Everything here is pure. This crate must not await, do I/O, read a clock or know a database, a
//! forge, Kubernetes or Python: front ends build a [`Plan`], [`canonical`] gives it its bytes and
//! hash, and every other room takes it as finished and immutable.
//!
//! Reading order: [`plan`], [`step`], [`action`], [`trigger`], then [`canonical`] and [`validate`].
#![forbid(unsafe_code)]

pub mod action;
#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
pub mod artifacts;
pub mod budget;
pub mod canonical;
pub mod capability;
pub mod codes;
pub mod context;
pub mod counted;
pub mod diagnostic;
pub mod diff;
pub mod duration;
pub mod event;
pub mod graph;
pub mod id;
pub mod inputs;
pub mod json_schema;
pub mod limits;
mod parse;
pub mod plan;
pub mod policy;
pub mod regex_cost;
pub mod schema;
pub mod shown;
pub mod step;
pub mod trigger;
pub mod validate;
pub mod value;
mod walk;

pub use crate::{
    action::Action,
    canonical::{HashedPlan, PlanHash},
    diagnostic::{Code, Diagnostic, Severity, Span},
    duration::DurationText,
    event::Event,
    graph::Graph,
    id::{AttemptId, RunId, RunnerId, StepId},
    plan::Plan,
    step::Step,
    trigger::Trigger,
    value::Value,
};
