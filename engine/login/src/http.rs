//! One request to an issuer: bounded in time and size.
//!
//! Must not follow redirects: what is posted is for one address.

use std::time::Duration;

use reqwest::{
    Client, RequestBuilder, StatusCode, Url,
    header::{ACCEPT, HeaderValue},
    redirect::Policy,
};

use crate::error::Error;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MAX_ANSWER: usize = 256 * 1024;

/// The way to an issuer.
#[derive(Debug, Clone)]
pub(crate) struct Http(Client);

// === impl Http ===

impl Http {
    pub(crate) fn new() -> Result<Self, Error> {
        // Another room may have chosen the provider already; there is only this one.
        let _chosen_already = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .user_agent(concat!("plue/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| Error::Unreachable { what: "setting up", cause })?;
        Ok(Self(client))
    }

    /// The bytes of a document.
    pub(crate) async fn get(&self, what: &'static str, url: &Url) -> Result<Vec<u8>, Error> {
        let (status, bytes) = send(what, self.0.get(url.clone())).await?;
        if status != StatusCode::OK {
            return Err(Error::BadAnswer { what, why: format!("status {}", status.as_u16()) });
        }
        Ok(bytes)
    }

    /// Posts a form; returns the response with any status.
    pub(crate) async fn post(
        &self,
        what: &'static str,
        url: &Url,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<(StatusCode, Vec<u8>), Error> {
        let kind = "application/x-www-form-urlencoded";
        let mut request = self.0.post(url.clone()).header("content-type", kind).body(form);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        send(what, request).await
    }
}

async fn send(what: &'static str, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Error> {
    // Without the address: a code may be in it.
    let failed = |cause: reqwest::Error| Error::Unreachable { what, cause: cause.without_url() };
    let request = request.header(ACCEPT, "application/json");
    let mut response = request.send().await.map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            let why = format!("more than {MAX_ANSWER} bytes");
            return Err(Error::BadAnswer { what, why });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((response.status(), bytes))
}
