//! The API of a server over HTTP.
//!
//! Must not show the token, follow a redirect with it, or put it anywhere but into its header.

use std::{io, time::Duration};

use futures::StreamExt as _;
use plue_runtime::Clock;
use reqwest::{Response, StatusCode, Url, header, redirect::Policy};

use crate::{
    error::{Error, Result, chain},
    transport::{Answer, Request},
};

/// Time until a connection is made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longest silence between two pieces of an answer: streams send something more often.
const SILENCE: Duration = Duration::from_secs(60);
/// Tries of a request that the server refuses as one too many.
const TRIES: u32 = 5;
/// Longest `Retry-After` that is waited for.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The checked address of a server.
#[derive(Debug, Clone)]
pub struct ServerAddress(Url);

/// A server and the token that it is asked with.
#[derive(Debug)]
pub(crate) struct Http {
    http: reqwest::Client,
    base: String,
    token: Option<header::HeaderValue>,
}

// === impl ServerAddress ===

impl ServerAddress {
    /// Reads `https://…` or `http://…` without credentials.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let address = text.rsplit('@').next().unwrap_or_default().to_owned();
            Error::Address { address, why: why.to_owned() }
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("it begins with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the token goes into PLUE_TOKEN, not into the address"));
        }
        Ok(Self(url))
    }

    /// True if a token on the way to this server can be read by others.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let near = matches!(self.0.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        self.0.scheme() == "http" && !near
    }
}

// === impl Http ===

impl Http {
    pub(crate) fn new(address: &ServerAddress, token: Option<&str>) -> Result<Self> {
        let token = token.map(|token| {
            let value = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| Error::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE)
            .user_agent(concat!("plue/", env!("CARGO_PKG_VERSION")))
            .build();
        let base = address.0.as_str().trim_end_matches('/').to_owned();
        let unusable = |error| Error::Unreachable { server: base.clone(), why: chain(&error) };
        let http = http.map_err(unusable)?;
        Ok(Self { http, base, token: token.transpose()? })
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request; one that comes too soon for the server is sent again after `Retry-After`.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer> {
        let mut tries = 1;
        loop {
            let response = self.attempt(&request).await?;
            match wait(&response).filter(|_| tries < TRIES) {
                Some(wait) => Clock::real().sleep(wait).await,
                None => return Ok(answer(response)),
            }
            tries += 1;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Response> {
        let url = format!("{}{}", self.base, request.target);
        let mut sent = self.http.request(request.method.clone(), url);
        if let Some(token) = &self.token {
            sent = sent.header(header::AUTHORIZATION, token);
        }
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        if !request.body.is_empty() {
            sent = sent.body(request.body.clone());
        }
        sent.send().await.map_err(|error| {
            let why = chain(&error.without_url());
            Error::Unreachable { server: self.base.clone(), why }
        })
    }
}

fn answer(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = futures::stream::unfold(Some(response), |response| async move {
        let mut response = response?;
        match response.chunk().await {
            Ok(Some(part)) => Some((Ok(Vec::from(part)), Some(response))),
            Ok(None) => None,
            Err(error) => Some((Err(io::Error::other(error.without_url())), None)),
        }
    });
    Answer { status, headers, body: body.boxed(), cause: None }
}

/// Time that the server wants to pass before the next try (RFC 6585 §4), if it is short.
fn wait(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let wait = Duration::from_secs(seconds);
    (response.status() == StatusCode::TOO_MANY_REQUESTS && wait <= MAX_WAIT).then_some(wait)
}
