//! What a server does between a delivery and a run: receive, fetch, plan, match, submit, drive; and
//! the same for schedules and for requests of the API.
//!
//! Reading order: [`receive`], `inbox`, [`intake`], [`occasion`], `identity`, `provenance`, [`plans`], [`submit`], [`drive`]. Must not
//! decide a status (the flow's), what fires (the registry's) or who may ask (the API's). Everything
//! here can be begun again after a crash and makes nothing twice.
#![forbid(unsafe_code)]

pub mod app;
mod checkouts;
pub mod commands;
mod contents;
pub mod descriptors;
mod dispatch;
pub mod drive;
pub mod error;
pub mod export;
mod feedback;
mod files;
mod follow;
mod forge_writer;
mod gate;
mod identity;
mod inbox;
pub mod incoming;
pub mod intake;
mod known;
mod lfs;
pub mod listen;
pub mod messages;
pub mod mirrors;
pub mod occasion;
pub mod outlet;
mod pace;
pub mod permission;
pub mod places;
pub mod plans;
mod provenance;
mod reaction;
pub mod receive;
mod requests;
pub mod schedules;
pub mod secrets;
pub mod server;
mod stalled;
pub mod submit;
mod submodules;
pub mod traces;
pub mod webhooks;
pub mod workspaces;

pub use crate::{
    error::Error,
    server::{Options, Parts, Server},
};
