//! Tokens of the API.

use plue_api::{
    commands::TokenRequest,
    records::{NewTokenRecord, TokenRecord},
};
use reqwest::Method;

use crate::{
    client::{Client, encoded},
    error::Result,
};

const ALL: &str = "/api/v1/tokens";

/// Tokens of the API.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'c>(pub(crate) &'c Client);

// === impl Tokens ===

impl Tokens<'_> {
    /// Creates a token; only this answer has it.
    ///
    /// # Errors
    /// The call.
    pub async fn create(&self, request: &TokenRequest) -> Result<NewTokenRecord> {
        self.0.post(ALL, request).await
    }

    /// All tokens, without their texts.
    ///
    /// # Errors
    /// The call.
    pub async fn list(&self) -> Result<Vec<TokenRecord>> {
        self.0.get(ALL).await
    }

    /// Removes a token.
    ///
    /// # Errors
    /// The call.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.0.change(Method::DELETE, &format!("{ALL}/{}", encoded(id))).await
    }
}
