//! Secrets of runs on this machine: the master key, and the layers that a plan's secrets come from.
//!
//! Reading order: [`keys`], [`layers`]. Must not print a secret or a key, or put one into an error; a
//! server must never read its own environment or files because a repository names them, so only
//! commands of this machine use [`layers`].
#![forbid(unsafe_code)]

mod declared;
mod error;
pub mod keys;
pub mod layers;

pub use crate::{
    declared::drop_line_end,
    error::Error,
    keys::{KeySource, KeyStore},
    layers::{Layered, Missing, scope},
};
