//! From a delivery to a driven run, for webhooks, schedules and requests of the API.
//!
//! [`Server`] composes three owners: the intake (deliveries → events → matches → submissions), the notifier
//! (statuses, comments, outgoing webhooks) and the host (driven runs, schedules, disk, retention). The
//! services below them are shared: `secrets` and `app` (credentials), `mirrors`, `plans`, `workspaces` (with
//! `files`, `checkouts`, `submodules`, `lfs`) and `submit`. `commands` and `requests` implement the API's
//! commands; `server_runs`, `rerun` and `put_back` those that plan or drive runs.
//!
//! Must not decide a status (flow does), match triggers (registry does) or authorize callers (the API does).
//! All work is repeatable: after a crash it is done again with the same result.
#![forbid(unsafe_code)]

pub mod app;
mod checkouts;
pub mod commands;
mod commit_cache;
pub mod error;
pub mod export;
mod files;
pub mod forge_reporter;
mod host;
mod intake;
mod lfs;
pub mod messages;
mod mirrors;
mod notifier;
mod pace;
pub mod permission;
mod plans;
pub mod pods;
mod process;
pub mod put_back;
mod requests;
pub mod rerun;
pub mod runners;
pub mod secrets;
pub mod server;
mod server_runs;
mod services;
mod state_dir;
mod submit;
mod submodules;
pub mod traces;
mod workspaces;

pub use crate::{
    error::Error,
    intake::receive,
    notifier::webhooks,
    server::{Options, Parts, Server},
};
