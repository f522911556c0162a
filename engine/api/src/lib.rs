//! The HTTP interface of a server: runs, steps, logs, tokens, health, each route with the role it
//! asks for, and the OpenAPI document that is made from the same list; and a few pages for people.
//!
//! Reading order: [`access`], [`endpoint`], [`routes`], [`server`]. Must not advance a run: what
//! changes something goes through [`commands::Commands`], which the executor's side implements. Must
//! answer 404, not 403, for runs that the caller may not see.
#![forbid(unsafe_code)]

pub mod access;
pub mod body_budget;
pub mod byte_range;
pub mod client;
pub mod commands;
pub mod deliveries;
pub mod descriptors;
pub mod endpoint;
pub mod explain;
pub mod extract;
mod guard;
pub mod last_run;
pub mod limit;
pub mod link;
pub mod listen;
pub mod local;
pub mod login;
pub mod openapi;
mod pages;
pub mod pauses;
pub mod problem;
pub mod rate;
mod reading;
pub mod records;
pub mod removal;
pub mod routes;
pub mod schedules;
pub mod scope;
pub mod server;
pub mod session;
mod stalled;
pub mod stream;
pub mod tagged;
pub mod token;
pub mod watched;

pub use crate::{
    access::{Need, Principal, Role},
    commands::{CommandError, Commands, RunRequest},
    login::Login,
    problem::Problem,
    server::{Api, Limits, probes, router},
};
