//! One request and its answer, over a connection to a checked address.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, Method, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};

use super::{Guard, Target, Unreached};
use crate::codes;

/// Headers of the connection, which callers must not set.
const OWN: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request to one target.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// HTTP method, such as `GET`.
    pub method: &'a str,
    /// The parsed address of the request.
    pub target: &'a Target,
    /// By name. May hold secrets: never logged.
    pub headers: &'a BTreeMap<String, String>,
    /// Bytes of the body, if there is one.
    pub body: Option<&'a [u8]>,
}

/// An answer with a bounded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status code of HTTP.
    pub status: u16,
    /// The header `Retry-After`, unparsed.
    pub retry_after: Option<String>,
    /// The first bytes of the body.
    pub body: Vec<u8>,
}

/// A resolver that returns the checked addresses for every name.
#[derive(Debug)]
struct Judged(Vec<SocketAddr>);

impl Resolve for Judged {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Posts a body and reads at most `most` bytes of the answer, within `within`. Redirects are returned as
/// answers.
///
/// # Errors
/// The address is refused, or there is no answer.
pub async fn post(
    (address, headers): (&str, &BTreeMap<String, String>),
    body: &[u8],
    guard: &Guard,
    (within, most): (Duration, usize),
) -> Result<Answered, Unreached> {
    let target = Target::parse(address)?;
    let request = Request { method: "POST", target: &target, headers, body: Some(body) };
    let exchange = async {
        let mut response = send(request, guard).await?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        // A truncated body is more useful than an error.
        while body.len() < most
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(chunk.get(..most - body.len()).unwrap_or(&chunk));
        }
        Ok(Answered { status: response.status().as_u16(), retry_after, body })
    };
    match tokio::time::timeout(within, exchange).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(Unreached::TimedOut),
    }
}

/// Sends one request. Does not follow redirects; the caller limits time and size of the answer.
///
/// # Errors
/// The address is refused, or there is no answer.
pub async fn send(request: Request<'_>, guard: &Guard) -> Result<Response, Unreached> {
    let method = Method::from_bytes(request.method.as_bytes());
    let method = method.map_err(|_| bad_header(format!("{:?} is no method", request.method)))?;
    let headers = headers(request.headers)?;
    let addresses = request.target.addresses(guard).await?;
    let failed = |error: reqwest::Error| Unreached::Failed(error_chain(error));
    let client = client(addresses).map_err(failed)?;
    let mut sent = client.request(method, request.target.url().clone()).headers(headers);
    if let Some(body) = request.body {
        sent = sent.body(body.to_vec());
    }
    sent.send().await.map_err(failed)
}

/// Names and values without line ends (RFC 9110 §5.5). Errors omit values, which may be secret.
fn headers(wanted: &BTreeMap<String, String>) -> Result<HeaderMap, Unreached> {
    let mut headers = HeaderMap::with_capacity(wanted.len());
    for (name, value) in wanted {
        let key = HeaderName::from_bytes(name.as_bytes());
        let key = key.map_err(|_| bad_header(format!("{name:?} is no name of a header")))?;
        if OWN.contains(&key.as_str()) {
            return Err(bad_header(format!("the header {name} is the connection's own")));
        }
        let value = HeaderValue::from_str(value)
            .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
            .map_err(|_| {
                bad_header(format!("the header {name} has a line end or the like in it"))
            })?;
        headers.append(key, value);
    }
    Ok(headers)
}

fn bad_header(message: String) -> Unreached {
    Unreached::refused(codes::BAD_HEADER, message)
}

/// A client for one request that connects to these addresses only.
fn client(addresses: Vec<SocketAddr>) -> Result<Client, reqwest::Error> {
    // An error means that a provider is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .user_agent(concat!("plue/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Judged(addresses)))
        .build()
}

/// The chain of causes without the address, which may hold secrets.
pub(crate) fn error_chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<HeaderMap, Unreached> {
        headers(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn headers_cannot_inject_others() {
        for value in ["a\r\nx-admin: 1", "a\nb", "a\rb", "a\0b", "\r\n\r\nGET / HTTP/1.1"] {
            let refused = checked("x-note", value).unwrap_err().to_string();
            assert!(refused.starts_with("PLUE-R0004"), "{refused}");
            assert!(!refused.contains("admin"), "a value is not shown: {refused}");
        }
        for name in ["x\r\ny", "x y", "x:", "", "ü"] {
            assert!(checked(name, "v").is_err(), "{name:?}");
        }
        for name in ["Content-Length", "transfer-encoding", "Connection", "TE", "upgrade"] {
            let refused = checked(name, "1").unwrap_err().to_string();
            assert!(refused.contains("connection's own"), "{refused}");
        }
        for (name, value) in [("x-note", "grüße\t!"), ("Authorization", "Bearer x"), ("host", "h")]
        {
            assert_eq!(checked(name, value).unwrap().len(), 1, "{name}");
        }
    }
}
