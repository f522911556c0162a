//! Records of what a server keeps: tokens and watched repositories.
//!
//! Must not hold a token, except in the one record that is printed when it is made.

use plue_api::records::TokenRecord;
use plue_plan::schema::{Published, of};
use plue_store::RepoRow;
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

/// One watched repository.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RepoRecord {
    /// `owner/name`.
    pub name: String,
    /// `local`, `github`, `gitlab`, `gitea` or `forgejo`.
    pub forge: String,
    /// Where it is fetched from.
    pub url: String,
    /// Its default branch.
    pub default_branch: String,
    /// The path of its webhook on the server; absent: it is local.
    pub webhook: Option<String>,
    /// RFC 3339.
    pub added_at: String,
}

impl RepoRecord {
    /// The record of a row.
    pub fn of(row: &RepoRow) -> Self {
        Self {
            name: row.name.clone(),
            forge: row.forge.clone(),
            url: row.url.clone(),
            default_branch: row.default_branch.clone(),
            webhook: (row.forge != "local").then(|| format!("/hooks/{}/{}", row.forge, row.hook)),
            added_at: row.added_at.to_string(),
        }
    }
}
