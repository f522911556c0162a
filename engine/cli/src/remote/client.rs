//! One server: requests with the token, answers as records, problems as failures.
//!
//! Must not show the token, follow a redirect with it, or put it anywhere but into its header.

use std::time::Duration;

use plue_api::records::{Page, RunRecord};
use plue_plan::{Code, Diagnostic};
use plue_planner::session::origin_here;
use plue_runtime::Clock;
use reqwest::{Method, Response, StatusCode, header, redirect::Policy};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    commands::artifacts::Write,
    config::Hidden,
    exit::Exit,
    failure::{Failure, chain, codes},
    output,
};

/// Until a connection is made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Between two pieces of an answer: streams say that they live more often than this.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that is no stream.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How often it is asked again when it was asked too often.
const PATIENCE: u32 = 5;
/// If it wants to be left alone for longer, the command ends.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// A server.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Hidden>,
}

/// What a server says went wrong (RFC 9457); what is missing is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    detail: String,
    code: Option<Code>,
    errors: Vec<Diagnostic>,
}

// === impl Client ===

impl Client {
    /// A client of the server at this address.
    pub(super) fn new(server: &str, token: Option<&Hidden>) -> Result<Self, Failure> {
        let url = reqwest::Url::parse(server);
        let url = url.map_err(|error| wrong(server, &error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong(server, "it begins with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(server, "the token goes into PLUE_TOKEN, not into the address"));
        }
        let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "http" && !near && token.is_some() {
            output::say(&format!("{server}: whoever is on the way can read the token; use https"));
        }
        let _chosen_already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE)
            .user_agent(concat!("plue/", env!("CARGO_PKG_VERSION")))
            .build();
        let http = http.map_err(|error| Failure::infrastructure(&error))?;
        let base = server.trim_end_matches('/').to_owned();
        Ok(Self { http, base, token: token.cloned() })
    }

    /// A document.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(self.ask(Method::GET, path, None::<&()>, &[]).await?).await
    }

    /// A document that comes of a change.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        read(self.ask(Method::POST, path, Some(body), &[]).await?).await
    }

    /// A change that is answered with nothing.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(), Failure> {
        self.ask(method, path, body, &[]).await.map(drop)
    }

    /// A change that may be asked for again with the same key.
    pub(super) async fn once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, Failure> {
        let headers = [("idempotency-key", key.to_owned())];
        read(self.ask(Method::POST, path, Some(body), &headers).await?).await
    }

    /// A stream of events, behind the one with this id.
    pub(super) async fn events(&self, path: &str, behind: &str) -> Result<Response, Failure> {
        let headers = [("last-event-id", behind.to_owned())];
        let headers = if behind.is_empty() { &[][..] } else { &headers[..] };
        self.ask(Method::GET, path, None::<&()>, headers).await
    }

    /// The bytes of a file, which must be those of this SHA-256.
    pub(super) async fn copy(
        &self,
        path: &str,
        sha256: &str,
        write: Write<'_>,
    ) -> Result<(), Failure> {
        let mut response = self.ask(Method::GET, path, None::<&()>, &[]).await?;
        let mut hasher = Sha256::new();
        loop {
            match response.chunk().await {
                Ok(Some(part)) => {
                    hasher.update(&part);
                    write(&part)?;
                }
                Ok(None) if hex::encode(hasher.finalize()) == sha256 => return Ok(()),
                Ok(None) => {
                    let error = std::io::Error::other("the file came damaged");
                    return Err(Failure::infrastructure(&error));
                }
                Err(error) => return Err(Failure::infrastructure(&error.without_url())),
            }
        }
    }

    /// All bytes of an answer, part by part; an answer that breaks off is a failure.
    pub(super) async fn stream(&self, path: &str, write: Write<'_>) -> Result<(), Failure> {
        let mut response = self.ask(Method::GET, path, None::<&()>, &[]).await?;
        loop {
            match response.chunk().await {
                Ok(Some(part)) => write(&part)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Failure::infrastructure(&error.without_url())),
            }
        }
    }

    /// The run that a text names: its id, the beginning of its id, or `last`.
    pub(super) async fn one_run(&self, text: &str) -> Result<RunRecord, Failure> {
        if text == "last"
            && let Some(repo) = origin_here()
        {
            let path = format!("/api/v1/runs?limit=1&children=false&repository={}", encoded(&repo));
            // A repository that the server does not watch has no last run.
            let newest = self.get::<Page<RunRecord>>(&path).await.ok();
            if let Some(run) = newest.and_then(|page| page.items.into_iter().next()) {
                return Ok(run);
            }
        }
        let path = format!("/api/v1/find/runs?id={}", encoded(text));
        let mut found: Vec<RunRecord> = self.get(&path).await?;
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => {
                Err(Failure::usage(format!("`{text}` is the beginning of more than one run id")))
            }
            (None, _) => {
                Err(Failure::not_found(format!("there is no run `{text}`")).hint("see `plue runs`"))
            }
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        headers: &[(&str, String)],
    ) -> Result<Response, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            let value = header::HeaderValue::from_str(&format!("Bearer {}", token.reveal().trim()));
            let mut value = value.map_err(|_| Failure::usage("PLUE_TOKEN holds no token"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|error| Failure::infrastructure(&error))?;
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        for _ in 0..PATIENCE {
            let Some(request) = request.try_clone() else { break };
            let response = request.send().await.map_err(|error| self.unreachable(error))?;
            match later(&response) {
                Some(wait) => Clock::real().sleep(wait).await,
                None => return self.judged(response).await,
            }
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        self.judged(response).await
    }

    async fn judged(&self, response: Response) -> Result<Response, Failure> {
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response).await)
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let message = format!("{} does not answer: {}", self.base, chain(&error.without_url()));
        Failure::new(Exit::Infrastructure, Diagnostic::error(codes::INFRASTRUCTURE, message))
            .hint("is `plue serve` running there?")
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let said: Said = match bytes(response).await {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(failure) => return failure,
        };
        if status == StatusCode::CONFLICT && !said.errors.is_empty() {
            return Failure { exit: Exit::NotFound, diagnostics: said.errors, repo: None };
        }
        if !said.errors.is_empty() {
            return Failure::invalid(said.errors);
        }
        let detail = if said.detail.is_empty() { status.to_string() } else { said.detail };
        match status {
            StatusCode::UNAUTHORIZED => {
                let hint = "set PLUE_TOKEN, or `token` in the configuration; make one on the \
                            server with `plue token create`";
                Failure::not_found(format!("{} does not know who asks", self.base)).hint(hint)
            }
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                Failure::not_found(detail)
            }
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                Failure::usage(detail)
            }
            _ => {
                let code = said.code.unwrap_or(codes::INFRASTRUCTURE);
                Failure::new(Exit::Infrastructure, Diagnostic::error(code, detail))
            }
        }
    }
}

/// How long a server that is asked too often wants to be left alone (RFC 6585 §4), if that is not long.
fn later(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let wait = Duration::from_secs(seconds);
    (response.status() == StatusCode::TOO_MANY_REQUESTS && wait <= MAX_WAIT).then_some(wait)
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let bytes = bytes(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the server answered something else: {error}");
        Failure::new(Exit::Infrastructure, Diagnostic::error(codes::INFRASTRUCTURE, message))
            .hint("is it a plue of another version, or another program?")
    })
}

/// The whole of an answer that is not too long to be one.
async fn bytes(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(part)) if all.len() + part.len() <= MAX_ANSWER => all.extend_from_slice(&part),
            Ok(Some(_)) => return Err(Failure::usage("the server's answer is too long")),
            Ok(None) => return Ok(all),
            Err(error) => return Err(Failure::infrastructure(&error.without_url())),
        }
    }
}

fn wrong(server: &str, why: &str) -> Failure {
    let shown = server.rsplit('@').next().unwrap_or_default();
    Failure::usage(format!("{shown} is no server: {why}")).hint("like https://plue.example")
}

/// A text as one part of a path or a query (RFC 3986 §2.1).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
