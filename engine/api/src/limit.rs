//! Rate limits: requests by token, bad credentials and webhooks by address. A client over its limit is
//! refused with 429 and `Retry-After` (RFC 6585 §4).
//!
//! A good token is never refused for requests of others at its address. Addresses are those of
//! [`crate::client`].

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use plue_runtime::Clock;
use tower_http::timeout::TimeoutLayer;

use crate::{
    access::Refusal,
    problem::Problem,
    rate::{Buckets, Rate, key_of},
    server::Api,
};

/// The address of a connection; the listener puts it into each of the connection's requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The public id of the token behind a request, also of one that shows a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Holder(pub(crate) String);

impl FromRequestParts<Api> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let holder = parts.extensions.get::<Self>().cloned();
        holder.ok_or_else(|| Refusal::Anonymous.into())
    }
}

/// The rates of a server.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Requests with one token.
    pub token: Rate,
    /// Bad tokens, unknown callbacks and hooks, and signatures that do not fit, from one address.
    pub failed: Rate,
    /// Deliveries of webhooks from one address.
    pub hooks: Rate,
    /// Logins that begin or come back, from one address.
    pub logins: Rate,
}

#[derive(Debug)]
pub(crate) struct Limiter {
    token: Buckets,
    failed: Buckets,
    hooks: Buckets,
    logins: Buckets,
}

// === impl Rates ===

impl Default for Rates {
    fn default() -> Self {
        Self {
            token: Rate { burst: 1_000, every: Duration::from_millis(10) },
            failed: Rate { burst: 30, every: Duration::from_secs(2) },
            // A forge sends for all of its repositories from few addresses.
            hooks: Rate { burst: 5_000, every: Duration::from_millis(1) },
            // Each is a row for ten minutes, and a question to the issuer.
            logins: Rate { burst: 60, every: Duration::from_secs(1) },
        }
    }
}

// === impl Limiter ===

impl Limiter {
    pub(crate) fn new(rates: &Rates, clock: Clock) -> Self {
        Self {
            token: Buckets::new(rates.token, clock),
            failed: Buckets::new(rates.failed, clock),
            hooks: Buckets::new(rates.hooks, clock),
            logins: Buckets::new(rates.logins, clock),
        }
    }

    /// A request with a good token.
    pub(crate) fn used(&self, token: &str) -> Result<(), Problem> {
        self.token.take(token).map_err(too_many)
    }

    /// Something that did not fit. Requests that come from nowhere are made in this process.
    pub(crate) fn failed(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        from.map_or(Ok(()), |from| self.failed.take(&key_of(from)).map_err(too_many))
    }

    /// A login that begins or comes back.
    pub(crate) fn login(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        from.map_or(Ok(()), |from| self.logins.take(&key_of(from)).map_err(too_many))
    }
}

/// Puts the limits of webhooks before their routes, and one on how long a delivery may take to come.
pub fn hooks(api: Api, routes: axum::Router) -> axum::Router {
    let slow =
        TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, api.limits().hook_within);
    routes.layer(slow).layer(middleware::from_fn_with_state(api, before_hook))
}

/// Routes that take bodies of so many bytes. One that is announced longer is refused before it comes.
pub fn bodies<S: Clone + Send + Sync + 'static>(
    routes: axum::Router<S>,
    most: usize,
) -> axum::Router<S> {
    let announced = middleware::from_fn_with_state(most, before_body);
    routes.layer(DefaultBodyLimit::max(most)).layer(announced)
}

async fn before_body(State(most): State<usize>, request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > most as u64) {
        let detail = format!("a body has at most {most} bytes");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
    }
    next.run(request).await
}

async fn before_hook(State(api): State<Api>, request: Request, next: Next) -> Response {
    let from = address(&api, request.extensions(), request.headers());
    let taken = from.map_or(Ok(()), |from| api.limiter().hooks.take(&key_of(from)));
    if let Err(after) = taken {
        return too_many(after).into_response();
    }
    let response = next.run(request).await;
    let refused = matches!(
        response.status(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
    );
    match refused.then(|| api.limiter().failed(from)) {
        Some(Err(problem)) => problem.into_response(),
        Some(Ok(())) | None => response,
    }
}

/// The client address of a request; none: it was made in this process.
pub(crate) fn address(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>()?.0.ip();
    Some(api.limits().proxies.client(peer, headers))
}

fn too_many(after: Duration) -> Problem {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let detail = format!("too many requests; try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
}
