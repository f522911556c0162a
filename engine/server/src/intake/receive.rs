//! The HTTP route of forge webhooks: a delivery is verified over its raw bytes, stored, and then
//! acknowledged.
//!
//! Must not parse a payload: the response depends on the signature alone, and the payload is decoded later
//! from the store.

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use plue_api::{Problem, limit};
use plue_forge::{
    Headers, Provider, Refusal, codes, content_digest, limits::MAX_BODY_BYTES, verify,
};
use plue_runtime::{Clock, Ids, metrics::names};
use plue_store::{DeliveryRow, DeliveryState, RepoRow, Store};
use serde_json::{Map, Value as Json, json};

use super::named_webhooks;
use crate::{secrets::Credentials, server::Server, services::Services};

/// Waiting deliveries of a repository from which on comments and similar events are refused.
const MAX_COMMENT_BACKLOG: u32 = 2_000;
/// `Retry-After` of a refused comment, in seconds.
const COMMENT_RETRY_S: u64 = 60;
/// Characters of a stored header value.
const MAX_HEADER: usize = 1_024;

/// The routes of all webhooks: `POST /hooks/{forge}/{hook}` of forges, and those with names.
pub fn hooks(server: &Server) -> Router {
    let routes = Router::new().route("/hooks/{forge}/{hook}", post(receive));
    limit::bodies(routes, MAX_BODY_BYTES)
        .merge(named_webhooks::routes())
        .with_state(server.inbound())
}

/// The services behind the webhook routes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    pub(super) store: Store,
    pub(super) credentials: Credentials,
    pub(super) clock: Clock,
    pub(super) ids: Ids,
}

// === impl Inbound ===

impl Inbound {
    pub(crate) fn new(services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            credentials: services.credentials.clone(),
            clock: services.process.clock,
            ids: services.process.ids.clone(),
        }
    }
}

/// The hook of a watched repository; an unknown hook is rejected before the body is read.
struct WatchedHook {
    provider: Provider,
    repo: RepoRow,
}

impl FromRequestParts<Inbound> for WatchedHook {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, inbound: &Inbound) -> Result<Self, Problem> {
        let not_found = || Problem::new(StatusCode::NOT_FOUND, "there is no such hook");
        let path = Path::<(String, String)>::from_request_parts(parts, inbound).await;
        let Path((forge, hook)) = path.map_err(|_| not_found())?;
        let provider: Provider = forge.parse().map_err(|_| not_found())?;
        let repo = inbound.store.repos().by_hook(&hook).await?;
        let repo = repo.filter(|repo| repo.forge == forge).ok_or_else(not_found)?;
        Ok(Self { provider, repo })
    }
}

async fn receive(
    State(inbound): State<Inbound>,
    WatchedHook { provider, repo }: WatchedHook,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (relevant, stored) = relevant_headers(&headers);
    let now = inbound.clock.now();
    let secrets = inbound.credentials.hook_secrets(&repo.name).await.map_err(unavailable)?;
    verify(provider, &secrets, &relevant, &body, now.as_second()).map_err(refused)?;
    if relevant.is_talk(provider)
        && inbound.store.delivery_queues().has_backlog(&repo.hook, MAX_COMMENT_BACKLOG).await?
    {
        names::DELIVERIES_REFUSED.increment(&[("reason", "backlog")]);
        let why = format!("too many deliveries of {} wait [{}]", repo.name, codes::TOO_MUCH_TALK);
        let full = Problem::new(StatusCode::TOO_MANY_REQUESTS, why);
        return Err(full.retry_after(COMMENT_RETRY_S));
    }
    let id = relevant.delivery_id(provider, &body);
    let delivery = DeliveryRow {
        forge: repo.forge,
        hook: repo.hook,
        id: id.clone(),
        headers: stored,
        body: body.into(),
        received_at: now,
        state: DeliveryState::New,
        note: None,
    };
    let digest = content_digest(provider, &relevant, &delivery.body);
    let received = inbound.store.deliveries().receive_signed(delivery, digest).await?;
    let answer = json!({"delivery": id, "new": received.is_taken()});
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}

/// The headers that matter for verification and decoding, and the same without GitLab's credential, for the
/// store.
pub(super) fn relevant_headers(headers: &HeaderMap) -> (Headers, Json) {
    let (mut relevant, mut stored) = (Headers::default(), Map::new());
    for (name, value) in headers {
        let name = name.as_str();
        let is_relevant = name.starts_with("x-")
            || name.starts_with("webhook-")
            || matches!(name, "content-type" | "idempotency-key");
        if let (true, Ok(value)) = (is_relevant && value.len() <= MAX_HEADER, value.to_str()) {
            relevant.push(name, value);
            if name != "x-gitlab-token" {
                stored.insert(name.to_owned(), value.into());
            }
        }
    }
    (relevant, Json::Object(stored))
}

pub(super) fn unavailable(error: crate::Error) -> Problem {
    tracing::error!(%error, "failed to verify a delivery; the sender retries");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now; try again")
}

pub(super) fn refused(refusal: Refusal) -> Problem {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    Problem::new(status, refusal.to_string())
}
