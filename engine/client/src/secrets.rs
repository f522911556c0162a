//! Secrets: set, listed by name, removed. No call returns a text.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use plue_api::records::resources::SecretRecord;
use reqwest::Method;
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    client::{Client, encoded},
    error::Result,
};

/// The repositories whose steps may name a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretScope {
    /// Every repository may name it.
    Everywhere,
    /// A watched repository, or on the machine of the API the absolute path of a folder.
    Repository(String),
}

// === impl SecretScope ===

impl SecretScope {
    fn target(&self, name: Option<&str>) -> String {
        let name = name.map_or_else(String::new, |name| format!("/{}", encoded(name)));
        match self {
            Self::Everywhere => format!("/api/v1/secrets{name}"),
            Self::Repository(repo) => {
                format!("/api/v1/repositories/{}/secrets{name}", encoded(repo))
            }
        }
    }
}

/// Secrets by their scope; no call returns a text.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'c>(pub(crate) &'c Client);

// === impl Secrets ===

impl Secrets<'_> {
    /// Stores a secret; any bytes but NUL.
    ///
    /// # Errors
    /// The call.
    pub async fn set(&self, scope: &SecretScope, name: &str, text: &[u8]) -> Result<()> {
        let body = match std::str::from_utf8(text) {
            Ok(text) => json!({ "text": text }),
            Err(_) => {
                let encoded = Zeroizing::new(BASE64_STANDARD.encode(text));
                json!({ "base64": *encoded })
            }
        };
        self.0.change_with(Method::PUT, &scope.target(Some(name)), &body).await
    }

    /// The secrets of a scope, without their texts.
    ///
    /// # Errors
    /// The call.
    pub async fn list(&self, scope: &SecretScope) -> Result<Vec<SecretRecord>> {
        self.0.get(&scope.target(None)).await
    }

    /// The secrets of every scope that steps may name.
    ///
    /// # Errors
    /// The call.
    pub async fn list_all(&self) -> Result<Vec<SecretRecord>> {
        self.0.get("/api/v1/secrets?all=true").await
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// The call.
    pub async fn remove(&self, scope: &SecretScope, name: &str) -> Result<()> {
        self.0.change(Method::DELETE, &scope.target(Some(name))).await
    }
}
