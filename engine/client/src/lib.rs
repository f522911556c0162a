//! A client of the API: typed calls, event streams and files, over HTTP to a server or to the API's own
//! router in this process. A command is written once, against [`Client`].
//!
//! Reading order: [`client`], [`transport`], [`events`]. Must not open a database, render anything or
//! show the token.
#![forbid(unsafe_code)]

pub mod client;
pub mod error;
pub mod events;
mod http;
mod lists;
mod logs;
mod repositories;
mod runners;
mod runs;
mod secrets;
mod tokens;
pub mod transport;
mod webhooks;

pub use crate::{
    client::Client,
    error::{Error, Refusal},
    http::ServerAddress,
    lists::{Lists, UsageQuery},
    logs::Logs,
    repositories::Repositories,
    runners::Runners,
    runs::{RunQuery, RunReference, Runs},
    secrets::{SecretScope, Secrets},
    tokens::Tokens,
    webhooks::Webhooks,
};
