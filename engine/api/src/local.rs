//! The API without a socket, for commands of the machine whose database this is: the same routes, guards
//! and audit trail.
//!
//! Must not be reachable over a network: the caller is known by an extension of the request, which no
//! byte of a request can set.

use std::{fmt, io};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header::HeaderName},
};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use plue_plan::Diagnostic;
use tower::ServiceExt as _;

use crate::{
    access::Principal,
    problem::Cause,
    server::{Api, router},
};

/// The API of this process, and the person whose requests these are.
#[derive(Clone)]
pub struct Local {
    router: Router,
    caller: LocalCaller,
}

/// Marks a request of this process as made by this principal.
#[derive(Debug, Clone)]
pub(crate) struct LocalCaller(pub(crate) Principal);

/// An answer whose body comes in pieces.
pub struct LocalAnswer {
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Body in pieces; an error ends it.
    pub body: BoxStream<'static, io::Result<Bytes>>,
    /// The cause of a failure, which no network is shown.
    pub cause: Option<Box<Diagnostic>>,
}

// === impl Local ===

impl Local {
    /// The routes of an API, for a principal with all rights.
    #[must_use]
    pub fn new(api: Api, name: String) -> Self {
        let caller = LocalCaller(Principal::local(name));
        Self { router: router(api), caller }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// `target` is no path of a URL.
    pub async fn call(
        &self,
        method: Method,
        target: &str,
        headers: &[(HeaderName, String)],
        body: Vec<u8>,
    ) -> io::Result<LocalAnswer> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Body::from(body)).map_err(io::Error::other)?;
        request.extensions_mut().insert(self.caller.clone());
        let Ok(answer) = self.router.clone().oneshot(request).await;
        let (mut head, body) = answer.into_parts();
        let cause = head.extensions.remove::<Cause>().map(|Cause(cause)| cause);
        let body = body.into_data_stream().map_err(io::Error::other).boxed();
        Ok(LocalAnswer { status: head.status, headers: head.headers, body, cause })
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl fmt::Debug for LocalAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}
