//! Records of what a server keeps: tokens and watched repositories.
//!
//! Must not hold a token, except in the one record that is printed when it is made.

use plue_api::records::TokenRecord;
pub use plue_api::records::place::RepoRecord;
use plue_plan::schema::{Published, of};
use schemars::JsonSchema;
use serde::Serialize;

/// The schemas of these documents.
pub const ALL: [Published; 2] = [
    Published { name: "tokens", schema: of::<Tokens> },
    Published { name: "repos", schema: of::<Repos> },
];

/// `plue token list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tokens {
    /// Always 1.
    pub schema_version: u32,
    /// The oldest first.
    pub tokens: Vec<TokenRecord>,
}

/// `plue repo list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Repos {
    /// Always 1.
    pub schema_version: u32,
    /// By name.
    pub repos: Vec<RepoRecord>,
}
