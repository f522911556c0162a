//! Sending a request: every hop is judged by the guard, redirects and bytes are counted.

use std::net::{IpAddr, SocketAddr};

use plue_flow::fact::Outcome;
use reqwest::{Client, Method, Response, StatusCode, Url, redirect::Policy};
use serde_json::{Value as Json, json};

use super::{CallRequest, Called, guard::Guard};

/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 5;
/// Bytes of an answer's body that are read at most.
const MAX_BODY: usize = 768 * 1024;

/// Why there is no answer.
enum Failure {
    /// The author or operator can mend it.
    Refused(String),
    /// The other side, or the way there.
    Failed(String),
    TimedOut,
}

/// Sends the request and reads the answer.
pub(crate) async fn send(request: CallRequest, guard: &Guard) -> Called {
    let timeout = request.timeout;
    let callback = request.callback;
    let exchange = async {
        let response = follow(request, guard).await?;
        let status = response.status();
        Ok((status, read(response).await?))
    };
    let answered = match tokio::time::timeout(timeout, exchange).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(Failure::TimedOut),
    };
    match answered {
        Ok((StatusCode::ACCEPTED, _)) if callback => Called::Accepted,
        Ok((status, output)) if status.is_success() => Called::Ended(Outcome::Success, output),
        Ok((status, output)) => {
            let message = format!("the call was answered with HTTP {status}");
            Called::Ended(Outcome::Failed { message }, output)
        }
        Err(Failure::Refused(message)) => Called::Ended(Outcome::Refused { message }, Json::Null),
        Err(Failure::Failed(message)) => Called::Ended(Outcome::Failed { message }, Json::Null),
        Err(Failure::TimedOut) => Called::Ended(Outcome::TimedOut, Json::Null),
    }
}

async fn follow(mut request: CallRequest, guard: &Guard) -> Result<Response, Failure> {
    let refused = |message: String| Failure::Refused(message);
    let mut url: Url =
        request.url.parse().map_err(|error| refused(format!("{}: {error}", request.url)))?;
    for _ in 0..=MAX_REDIRECTS {
        let response = hop(&request, &url, guard).await?;
        let status = response.status();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return Ok(response);
        };
        let next = url.join(location);
        let next = next.map_err(|error| Failure::Failed(format!("redirect: {error}")))?;
        // What was meant for one party is not shown to another.
        if next.origin() != url.origin() {
            request.headers.clear();
        }
        let keeps =
            matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps && request.method != "HEAD" {
            request.method = "GET".to_owned();
            request.body = None;
            request.headers.remove("content-type");
        }
        url = next;
    }
    Err(Failure::Failed(format!("more than {MAX_REDIRECTS} redirects")))
}

async fn hop(request: &CallRequest, url: &Url, guard: &Guard) -> Result<Response, Failure> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::Refused(format!("{}: calls go by http or https", url.scheme())));
    }
    let failed = |error: reqwest::Error| Failure::Failed(told(error));
    let (host, addresses) = addresses(url, guard).await?;
    let client = client(&host, &addresses).map_err(failed)?;
    let method = Method::from_bytes(request.method.as_bytes());
    let method = method.map_err(|error| Failure::Refused(error.to_string()))?;
    let mut sent = client.request(method, url.clone());
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    if let Some(body) = &request.body {
        sent = sent.body(body.clone());
    }
    sent.send().await.map_err(failed)
}

/// A client for one host, at the addresses that were judged and no others.
fn client(host: &str, addresses: &[SocketAddr]) -> Result<Client, reqwest::Error> {
    // Says nothing if somebody has installed one already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .user_agent(concat!("plue/", env!("CARGO_PKG_VERSION")))
        .resolve_to_addrs(host, addresses)
        .build()
}

async fn addresses(url: &Url, guard: &Guard) -> Result<(String, Vec<SocketAddr>), Failure> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|error| Failure::Failed(format!("{host}: {error}")))?
            .collect(),
    };
    if found.is_empty() {
        return Err(Failure::Failed(format!("{host} has no address")));
    }
    if let Some(inside) = found.iter().find(|at| !guard.permits(&host, port, at.ip())) {
        return Err(Failure::Refused(format!(
            "{host} is at {}, an address that is not public; the operator can allow it with \
             `calls.allow` in the configuration",
            inside.ip()
        )));
    }
    Ok((host, found))
}

async fn read(mut response: Response) -> Result<Json, Failure> {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::Failed(told(error)))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BODY {
            return Err(Failure::Failed(format!("the answer has more than {MAX_BODY} bytes")));
        }
    }
    let is_json = kind.split(';').next().is_some_and(|kind| {
        let kind = kind.trim().to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    });
    let parsed = if is_json { serde_json::from_slice(&bytes).ok() } else { None };
    let body = parsed.unwrap_or_else(|| Json::String(String::from_utf8_lossy(&bytes).into_owned()));
    Ok(json!({"status": status, "content_type": kind, "body": body}))
}

/// The whole chain of causes, without the address: it may hold what must not be shown.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
