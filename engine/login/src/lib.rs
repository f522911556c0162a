//! Login by OpenID Connect: the relying party (OpenID Connect Core 1.0 §3.1, the authorization code
//! flow, with the proof key of RFC 7636).
//!
//! Reading order: [`settings`], [`attempt`], [`issuer`], [`id_token`], [`person`]. Must not decide
//! permissions, keep a session, or know a route: the result is a person, or an error.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod error;
mod http;
pub mod id_token;
pub mod issuer;
mod keys;
mod metadata;
pub mod person;
pub mod settings;
mod signature;
pub mod workload;

pub use crate::{
    attempt::Attempt,
    error::Error,
    issuer::Issuer,
    person::Person,
    settings::{ClientSecret, Settings},
    workload::{Workload, WorkloadVerifier},
};
