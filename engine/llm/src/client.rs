//! Requests over HTTP, answers as a stream.
//!
//! Must not follow redirects (a key is for one host), show a key, or repeat a request whose answer
//! is streaming.

use std::{fmt, time::Duration};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use plue_runtime::{Clock, Ids};
use reqwest::{
    RequestBuilder, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
    redirect::Policy,
};
use zeroize::Zeroizing;

use crate::{
    answer::{Answer, Usage},
    assemble::{Assembler, Delta},
    error::{ApiError, Error, StreamError, shortened},
    event::{Failure, FailureBody},
    limits::MAX_BODY_BYTES,
    request::Request,
    retry::RetryPolicy,
    sse::{Decoder, SseEvent},
};

/// The version of the API that requests name. Since 2026-10-21 sampling parameters are refused.
pub const API_VERSION: &str = "2026-10-21";
/// Default address of the API; `ANTHROPIC_BASE_URL` overrides it.
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";

/// A key, never shown.
#[derive(Clone)]
pub enum Credential {
    /// `ANTHROPIC_API_KEY`: sent as `x-api-key`.
    ApiKey(Zeroizing<String>),
    /// `ANTHROPIC_AUTH_TOKEN`: sent as `Authorization: Bearer`.
    Token(Zeroizing<String>),
}

/// Settings of a [`Client`]: address, API version, retries and timeouts.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The API's address, without `/v1`. Any API that is compatible with Messages.
    pub base_url: String,
    /// Value of the header `anthropic-version`.
    pub version: String,
    /// Rules for retrying a failed request.
    pub retry: RetryPolicy,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for the next byte, the first included. The API sends pings in between.
    pub idle_timeout: Duration,
}

/// Calls one API with one key. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    clock: Clock,
    ids: Ids,
    options: ClientOptions,
}

/// An answer that arrives. Dropped: the connection is closed, and the model stops.
#[derive(Debug)]
pub struct Stream {
    response: Response,
    clock: Clock,
    idle_timeout: Duration,
    decoder: Decoder,
    waiting: std::vec::IntoIter<SseEvent>,
    assembler: Assembler,
}

// === impl Credential ===

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

impl Credential {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, text) = match self {
            Self::ApiKey(key) => (HeaderName::from_static("x-api-key"), key.clone()),
            Self::Token(token) => (AUTHORIZATION, Zeroizing::new(format!("Bearer {}", &**token))),
        };
        let mut value = HeaderValue::from_str(text.trim()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

// === impl ClientOptions ===

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            base_url: DEFAULT_BASE_URL.to_owned(),
            version: API_VERSION.to_owned(),
            retry: RetryPolicy::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

// === impl Client ===

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("host", &self.host()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// [`Error::Settings`]: the address, the version or the key cannot be used. The key is not in it.
    pub fn new(
        credential: &Credential,
        options: ClientOptions,
        clock: Clock,
        ids: Ids,
    ) -> Result<Self, Error> {
        let base = base(&options.base_url)?;
        let key = credential.header();
        let Some((name, value)) = key.filter(|(_, value)| !value.is_empty()) else {
            return Err(Error::Settings("the API key is empty or no header text".to_owned()));
        };
        let version = HeaderValue::from_str(&options.version)
            .map_err(|_| Error::Settings("the API version is no header text".to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        headers.insert("anthropic-version", version);
        headers.insert(USER_AGENT, HeaderValue::from_static("plue"));
        // Another room may have chosen the provider already; there is only this one.
        let _chosen_already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(Policy::none())
            .connect_timeout(options.connect_timeout)
            .build()
            .map_err(|error| Error::Settings(format!("no HTTP client: {}", error.without_url())))?;
        Ok(Self { http, base, clock, ids, options })
    }

    /// Host and port, for errors.
    pub fn host(&self) -> String {
        let port = self.base.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.base.host_str().unwrap_or_default())
    }

    /// Sends a request and waits for the beginning of its answer.
    ///
    /// # Errors
    /// The API refuses it, or cannot be reached after the policy's attempts.
    pub async fn stream(&self, request: &Request) -> Result<Stream, Error> {
        let body = serde_json::to_vec(request)
            .map_err(|error| Error::Settings(format!("the request is no JSON: {error}")))?;
        let mut attempt = 1;
        loop {
            let error = match self.post("messages", body.clone()).await {
                Ok(response) => return Ok(self.reader(response)),
                Err(error) => error,
            };
            let chance = f64::from(self.ids.number().get()) / f64::from(u32::MAX);
            let pause = self.options.retry.pause(attempt, error.retry_after(), chance);
            let Some(pause) = pause.filter(|_| error.is_transient()) else { return Err(error) };
            tracing::info!(%error, attempt, retry_in = ?pause, "failed to call Claude; retrying");
            self.clock.sleep(pause).await;
            attempt += 1;
        }
    }

    /// Checks the key by listing one of the API's models, free of charge; not retried.
    ///
    /// # Errors
    /// The API refuses the key or cannot be reached.
    pub async fn check_key(&self) -> Result<(), Error> {
        let mut url = self.url("models");
        url.query_pairs_mut().append_pair("limit", "1");
        self.send(self.http.get(url)).await.map(drop)
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Response, Error> {
        let request = self.http.post(self.url(path));
        self.send(request.header(CONTENT_TYPE, "application/json").body(body)).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["v1", path]);
        }
        url
    }

    /// The head of a good answer; the error of another one.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let mut response = within(&self.clock, self.options.idle_timeout, request.send())
            .await
            .ok_or_else(|| self.silent())?
            .map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        // The status counts even if the body breaks off.
        let bytes = self.body(&mut response).await.unwrap_or_default();
        Err(Error::Api(Box::new(api_error(status, &headers, &bytes, self.clock.now()))))
    }

    async fn body(&self, response: &mut Response) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            let next = within(&self.clock, self.options.idle_timeout, response.chunk());
            let chunk = next.await.ok_or_else(|| self.silent())?;
            let Some(chunk) = chunk.map_err(|error| self.unreachable(error))? else { break };
            let room = MAX_BODY_BYTES.saturating_sub(bytes.len());
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(bytes)
    }

    fn reader(&self, response: Response) -> Stream {
        Stream {
            response,
            clock: self.clock,
            idle_timeout: self.options.idle_timeout,
            decoder: Decoder::default(),
            waiting: Vec::new().into_iter(),
            assembler: Assembler::default(),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        unreachable(self.host(), error)
    }

    fn silent(&self) -> Error {
        Error::Silent { host: self.host(), after: self.options.idle_timeout }
    }
}

// === impl Stream ===

impl Stream {
    /// The next piece of the answer; `None` once the answer is whole or the connection has ended.
    ///
    /// # Errors
    /// The API reports an error, the connection breaks or stays silent, or the stream passes a bound.
    pub async fn next(&mut self) -> Result<Option<Delta>, Error> {
        loop {
            for event in self.waiting.by_ref() {
                if let Some(delta) = self.assembler.take(&event)? {
                    return Ok(Some(delta));
                }
            }
            if self.assembler.is_whole() {
                return Ok(None);
            }
            let host = self.response.url().host_str().unwrap_or_default().to_owned();
            let next = within(&self.clock, self.idle_timeout, self.response.chunk()).await;
            let chunk = match next {
                None => return Err(Error::Silent { host, after: self.idle_timeout }),
                Some(Err(error)) => return Err(unreachable(host, error)),
                Some(Ok(None)) => return Ok(None),
                Some(Ok(Some(chunk))) => chunk,
            };
            let mut events = Vec::new();
            self.decoder.push(&chunk, &mut events).map_err(StreamError::Sse)?;
            self.waiting = events.into_iter();
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The stream ended before the answer did.
    pub fn finish(self) -> Result<Answer, Error> {
        Ok(self.assembler.finish()?)
    }

    /// Tokens reported so far: those of a broken answer are charged too.
    pub fn usage(&self) -> Usage {
        self.assembler.usage()
    }
}

fn base(address: &str) -> Result<Url, Error> {
    let bad = |reason: &str| {
        let address = shortened(address.split('@').next_back().unwrap_or_default());
        Error::Settings(format!("`{address}` is no address of a Messages API: {reason}"))
    };
    let url = Url::parse(address.trim()).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(bad("it does not begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it contains a user name or password; use ANTHROPIC_API_KEY"));
    }
    Ok(url)
}

fn api_error(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ApiError {
    let failure = serde_json::from_slice::<Failure>(body).unwrap_or_else(|_| Failure {
        // A proxy's page, most likely.
        error: FailureBody {
            kind: "error".to_owned(),
            message: String::from_utf8_lossy(body).into_owned(),
        },
        request_id: None,
    });
    let id = failure.request_id.or_else(|| text(headers, "request-id").map(str::to_owned));
    let mut error = ApiError::new(Some(status), failure.error, id);
    let number = |name| text(headers, name).and_then(|it| it.trim().parse::<f64>().ok());
    let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0).or(number("retry-after"));
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    error.retry_after = wait.or_else(|| until(text(headers, "retry-after")?, now));
    error.should_retry = text(headers, "x-should-retry").and_then(|word| word.parse().ok());
    error
}

/// The time until a date, as HTTP writes it.
fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let date = DateTimeParser::new().parse_timestamp(date.trim()).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unreachable(host: String, error: reqwest::Error) -> Error {
    // The innermost cause is more specific than reqwest's own message.
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        reason = inner.to_string();
        cause = inner.source();
    }
    Error::Unreachable { host, reason: shortened(&reason) }
}

/// The future's result, unless `limit` passes first.
async fn within<F: Future>(clock: &Clock, limit: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        result = future => Some(result),
        () = clock.sleep(limit) => None,
    }
}
