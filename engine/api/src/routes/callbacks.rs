//! Answers of systems that steps have called: the one-time token in the path is all that is asked.

use std::net::IpAddr;

use axum::{
    body::Bytes,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    routing::post,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    commands::CallbackOutcome,
    endpoint::{Answer, Endpoint, Method},
    extract::Path,
    limit,
    problem::Problem,
    server::Api,
};

/// Characters of a token; a longer one is refused unread.
const MAX_TOKEN: usize = 256;

/// Outcome of an answer.
#[derive(Debug, Serialize, JsonSchema)]
struct CallbackRecord {
    /// `taken`, or `duplicate`: the call was answered before, and this answer changes nothing.
    status: &'static str,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Post,
        path: "/callbacks/{token}",
        need: Need::Nothing,
        summary: "Answer a call that waits; the body is the output of the step, absent: null",
        query: &[],
        body: Some(schema::<Json>),
        answer: Answer::Json(schema::<CallbackRecord>),
        route: || post(answer),
    }]
}

/// A token that is known; any other is answered before the body is read.
struct KnownToken {
    token: String,
    from: Option<IpAddr>,
}

impl FromRequestParts<Api> for KnownToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Path(token) = Path::<String>::from_request_parts(parts, api).await?;
        let from = limit::address(api, &parts.extensions, &parts.headers);
        let fits =
            (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if fits && api.commands().knows_callback(token.clone()).await? {
            return Ok(Self { token, from });
        }
        api.limiter().failed(from)?;
        Err(unknown())
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such callback")
}

async fn answer(
    State(api): State<Api>,
    KnownToken { token, from }: KnownToken,
    body: Bytes,
) -> Result<axum::Json<CallbackRecord>, Problem> {
    // The content type is ignored: systems that call back send all kinds.
    let output = if body.is_empty() {
        Json::Null
    } else {
        let read = serde_json::from_slice(&body);
        read.map_err(|error| Problem::bad_request(format!("the body is no JSON: {error}")))?
    };
    let (outcome, run) = api.commands().callback(token, output).await?;
    let status = match outcome {
        CallbackOutcome::Taken => "taken",
        CallbackOutcome::Duplicate => "duplicate",
        CallbackOutcome::Expired => {
            return Err(Problem::new(StatusCode::GONE, "the time to answer is over"));
        }
        CallbackOutcome::Unknown => return Err(unknown()),
    };
    if let (CallbackOutcome::Taken, Some(run)) = (outcome, run) {
        let repo = api.store().runs().get(&run).await?.and_then(|row| row.repo);
        let who = Principal::new("callback".to_owned(), Role::Reader, repo.clone()).at(from);
        api.trail(&who, "run.callback", (run.as_str(), repo), json!({})).await?;
    }
    Ok(axum::Json(CallbackRecord { status }))
}
