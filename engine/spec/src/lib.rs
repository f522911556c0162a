//! Expressions and templates: what a plan's `when`, `$expr` and `$template` mean; and workflows in
//! YAML and JSON.
//!
//! Pure: must not await, do I/O, read a clock or the environment. CEL is parsed by the crate `cel`;
//! evaluation is this crate's own walk over that tree, because it must be bounded in cost, name what
//! is missing, and record what was read. [`workflow`] is the front end of YAML and JSON files.
//!
//! Reading order: [`Scope`], [`expression`], [`template`], [`resolve()`], [`workflow`].
#![forbid(unsafe_code)]

pub mod codes;
mod error;
mod evaluate;
pub mod expression;
mod function;
mod language;
mod number;
mod operator;
mod reads;
mod resolve;
mod scope;
pub mod template;
pub mod workflow;

pub use crate::{
    error::Error,
    expression::Expression,
    language::Cel,
    reads::{MAX_READS, Read, Reads},
    resolve::{EnvValue, Resolved, SecretAt, resolve, resolve_env, resolve_text},
    scope::{Scope, StepSource, StepValues},
    template::{Template, text_of},
};
pub use plue_plan::validate::{ExpressionError, Reference, Root};
