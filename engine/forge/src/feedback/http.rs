//! One request to a forge's API: tried again while that can help, its answer bounded.
//!
//! Must not follow redirects: a token is for one host.

use std::time::Duration;

use plue_runtime::Clock;
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
    redirect::Policy,
};
use serde_json::Value as Json;

use crate::{
    feedback::{client::ClientOptions, error::FeedbackError},
    limits::MAX_API_ANSWER_BYTES,
    provider::Provider,
};

/// Characters of a forge's complaint that an error repeats.
const MAX_REASON: usize = 300;

/// The connection to one API.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    base: Url,
    clock: Clock,
    options: ClientOptions,
}

/// A request to the API.
#[derive(Debug, Clone)]
pub(super) struct ApiRequest {
    /// For errors: "a commit status".
    pub(super) what: &'static str,
    pub(super) method: Method,
    /// Parts of the path, each escaped.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Json>,
    /// True if it may be sent again after an unknown result.
    pub(super) repeatable: bool,
}

// === impl Http ===

impl Http {
    pub(super) fn new(
        provider: Provider,
        address: &str,
        token: &str,
        clock: Clock,
        options: ClientOptions,
    ) -> Result<Self, FeedbackError> {
        let bad = || FeedbackError::BadAddress(address.chars().take(200).collect());
        let base = Url::parse(address).map_err(|_| bad())?;
        let scheme = base.scheme() == "https" || (base.scheme() == "http" && options.allow_http);
        if !scheme || base.host_str().is_none() || !base.username().is_empty() {
            return Err(bad());
        }
        // Another room may have chosen the provider already; there is only this one.
        let _chosen_already = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .default_headers(headers(provider, token).ok_or_else(bad)?)
            .redirect(Policy::none())
            .timeout(options.timeout)
            .build()
            .map_err(FeedbackError::Unreachable)?;
        Ok(Self { client, base, clock, options })
    }

    /// Sends a request; the answer's JSON, `null` if it has none.
    pub(super) async fn send(&self, ask: &ApiRequest) -> Result<Json, FeedbackError> {
        let mut backoff = self.options.backoff;
        let mut attempt = 1;
        loop {
            let error = match self.once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = match &error {
                FeedbackError::Later { retry_after, .. } => retry_after.unwrap_or(backoff),
                FeedbackError::Unreachable(cause) if ask.repeatable || cause.is_connect() => {
                    backoff
                }
                _ => return Err(error),
            };
            if attempt >= self.options.attempts || wait > self.options.longest_wait {
                return Err(error);
            }
            tracing::debug!(forge.what = ask.what, attempt, wait = ?wait, %error, "trying again");
            self.clock.sleep(wait).await;
            attempt += 1;
            backoff = backoff.saturating_mul(2).min(self.options.longest_wait);
        }
    }

    async fn once(&self, ask: &ApiRequest) -> Result<Json, FeedbackError> {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(&ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = self.client.request(ask.method.clone(), url);
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(FeedbackError::Unreachable)?;
        let (status, head) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FeedbackError::Unreachable)? {
            if bytes.len() + chunk.len() > MAX_API_ANSWER_BYTES {
                return Err(FeedbackError::BadAnswer { what: ask.what });
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Json::Null);
            }
            let answer = serde_json::from_slice(&bytes);
            return answer.map_err(|_| FeedbackError::BadAnswer { what: ask.what });
        }
        let status = status.as_u16();
        if asks_to_wait(status, &head) && (ask.repeatable || is_certain(status)) {
            let retry_after = retry_after(&head, self.clock.now().as_second());
            return Err(FeedbackError::Later { status, retry_after });
        }
        Err(FeedbackError::Refused { what: ask.what, status, reason: reason(&bytes) })
    }
}

/// Statuses after which nothing was done for certain.
fn is_certain(status: u16) -> bool {
    matches!(status, 403 | 429 | 503)
}

fn asks_to_wait(status: u16, head: &HeaderMap) -> bool {
    // GitHub's rate limits come as 403 as well.
    let limited = || {
        head.contains_key("retry-after")
            || head.get("x-ratelimit-remaining").is_some_and(|left| left.as_bytes() == b"0")
    };
    status == StatusCode::TOO_MANY_REQUESTS || status >= 500 || (status == 403 && limited())
}

fn retry_after(head: &HeaderMap, now: i64) -> Option<Duration> {
    let number = |name: &str| head.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    let spent = number("x-ratelimit-remaining") == Some(0);
    let reset = number("x-ratelimit-reset").filter(|_| spent)?;
    let now = u64::try_from(now).ok()?;
    Some(Duration::from_secs(reset.saturating_sub(now).max(1)))
}

fn headers(provider: Provider, token: &str) -> Option<HeaderMap> {
    let (name, value) = match provider {
        Provider::GitHub => (AUTHORIZATION, format!("Bearer {token}")),
        Provider::GitLab => (HeaderName::from_static("private-token"), token.to_owned()),
        Provider::Gitea | Provider::Forgejo => (AUTHORIZATION, format!("token {token}")),
    };
    let mut secret = HeaderValue::from_str(&value).ok()?;
    secret.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(name, secret);
    headers.insert(USER_AGENT, HeaderValue::from_static("plue"));
    let accept = match provider {
        Provider::GitHub => "application/vnd.github+json",
        Provider::GitLab | Provider::Gitea | Provider::Forgejo => "application/json",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    Some(headers)
}

/// The forge's error message, without control characters.
fn reason(bytes: &[u8]) -> String {
    let body = serde_json::from_slice::<Json>(bytes).ok();
    let message = body.as_ref().and_then(|body| body.get("message").or_else(|| body.get("error")));
    let text = match message {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}
