//! `[login]`: how people log in to `plue serve`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[login]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// The OpenID Connect issuer; absent: people log in with tokens only.
    pub issuer: Option<String>,
    /// Id of plue at the issuer.
    pub client_id: Option<String>,
    /// The file with what plue shows it; absent: a public client.
    pub client_secret_file: Option<PathBuf>,
    /// Requested scopes in addition to `openid`.
    pub scopes: Vec<String>,
    /// The claim that people are called by, in journals and by `approvers`.
    pub name_claim: String,
    /// The claim with their groups; dots lead into objects.
    pub groups_claim: String,
    /// The issuer may be reached without TLS although it is not on this machine.
    pub allow_http: bool,
    /// Roles of users, the first match first.
    pub rules: Vec<LoginRule>,
}

/// One rule: whom it names, and what it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRule {
    /// Everybody in this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Users with this address, verified by the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The user with this subject of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `reader`, `writer`, `maintainer` or `admin`.
    pub role: String,
    /// The one repository; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_secret_file: None,
            scopes: vec!["email".to_owned(), "profile".to_owned()],
            name_claim: "email".to_owned(),
            groups_claim: "groups".to_owned(),
            allow_http: false,
            rules: Vec::new(),
        }
    }
}
