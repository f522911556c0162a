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

// === impl Client ===

impl Client {
    /// Creates a token; only this answer has it.
    ///
    /// # Errors
    /// The call.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<NewTokenRecord> {
        self.post(ALL, request).await
    }

    /// All tokens, without their texts.
    ///
    /// # Errors
    /// The call.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        self.get(ALL).await
    }

    /// Removes a token.
    ///
    /// # Errors
    /// The call.
    pub async fn remove_token(&self, id: &str) -> Result<()> {
        self.change(Method::DELETE, &format!("{ALL}/{}", encoded(id))).await
    }
}
