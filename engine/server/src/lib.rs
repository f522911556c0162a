//! What a server does between a delivery and a run: receive, fetch, plan, match, submit, drive; and
//! the same for schedules and for requests of the API.
//!
//! Reading order: [`receive`], [`intake`], [`occasion`], [`plans`], [`submit`], [`drive`]. Must not
//! decide a status (the flow's), what fires (the registry's) or who may ask (the API's). Everything
//! here can be begun again after a crash and makes nothing twice.
#![forbid(unsafe_code)]

pub mod app;
pub mod commands;
pub mod descriptors;
pub mod drive;
pub mod error;
pub mod export;
mod feedback;
mod files;
mod follow;
mod gate;
pub mod incoming;
pub mod intake;
mod known;
pub mod listen;
pub mod messages;
pub mod mirrors;
pub mod occasion;
pub mod outlet;
pub mod plans;
mod reaction;
pub mod receive;
mod requests;
pub mod schedules;
pub mod secrets;
pub mod server;
mod stalled;
pub mod submit;
pub mod traces;
pub mod webhooks;
pub mod workspaces;

pub use crate::{
    error::Error,
    server::{Options, Parts, Server},
};
