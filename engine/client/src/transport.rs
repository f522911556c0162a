//! The two ways to the API, and their common form of requests and answers.

use std::io;

use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use plue_api::local::{Local, LocalAnswer};
use plue_plan::Diagnostic;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName},
};

use crate::{error::Result, http::Http};

/// A way to the API.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A server, over HTTP.
    Http(Http),
    /// The router in this process.
    Local(Local),
}

/// A request before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path with its query, without the server.
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer whose body comes in pieces.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// The cause of a failure that an API shows to callers of its own process only.
    pub(crate) cause: Option<Box<Diagnostic>>,
}

/// The pieces of a body; an error ends it.
pub type Body = BoxStream<'static, io::Result<Vec<u8>>>;

// === impl Transport ===

impl Transport {
    pub(crate) async fn send(&self, request: Request) -> Result<Answer> {
        match self {
            Self::Http(http) => http.send(request).await,
            Self::Local(local) => {
                let Request { method, target, headers, body } = request;
                let answered = local.call(method, &target, &headers, body).await;
                let answered = answered.map_err(|error| crate::Error::Broken(error.to_string()))?;
                let LocalAnswer { status, headers, body, cause } = answered;
                let body = body.map_ok(Vec::from).boxed();
                Ok(Answer { status, headers, body, cause })
            }
        }
    }

    /// The server as messages name it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Http(http) => http.base(),
            Self::Local(_) => "plue on this machine",
        }
    }
}
