//! Deliveries at the door: verified over their raw bytes, stored, and only then answered.
//!
//! Must not read a payload: what it says is looked at later, from the store, so that no payload can
//! make this answer anything but what the signature deserves.

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
use plue_runtime::metrics::names;
use plue_store::{DeliveryRow, DeliveryState, RepoRow};
use serde_json::{Map, Value as Json, json};

use crate::{incoming, server::Server};

/// Deliveries of a repository that wait while comments and the like are still taken.
const MAX_TALK: u32 = 2_000;
/// Seconds until a refused comment may be sent again.
const TALK_AGAIN_S: u64 = 60;
/// Characters of a header that is kept.
const MAX_HEADER: usize = 1_024;

/// The routes of all webhooks: `POST /hooks/{forge}/{hook}` of forges, and those with names.
pub fn hooks(server: Server) -> Router {
    let routes = Router::new().route("/hooks/{forge}/{hook}", post(receive));
    limit::bodies(routes, MAX_BODY_BYTES).merge(incoming::calls()).with_state(server)
}

/// The hook of a watched repository. An unknown one is answered before the body is read.
struct WatchedHook {
    provider: Provider,
    repo: RepoRow,
}

impl FromRequestParts<Server> for WatchedHook {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let nowhere = || Problem::new(StatusCode::NOT_FOUND, "there is no such hook");
        let path = Path::<(String, String)>::from_request_parts(parts, server).await;
        let Path((forge, hook)) = path.map_err(|_| nowhere())?;
        let provider: Provider = forge.parse().map_err(|_| nowhere())?;
        let repo = server.store().repo_by_hook(&hook).await?;
        let repo = repo.filter(|repo| repo.forge == forge).ok_or_else(nowhere)?;
        Ok(Self { provider, repo })
    }
}

async fn receive(
    State(server): State<Server>,
    WatchedHook { provider, repo }: WatchedHook,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (kept, stored) = kept(&headers);
    let parts = server.parts();
    let now = parts.clock.now();
    let secrets = server.hook_secrets(&repo.name).await.map_err(unavailable)?;
    verify(provider, &secrets, &kept, &body, now.as_second()).map_err(refused)?;
    if kept.is_talk(provider) && server.store().has_backlog(&repo.hook, MAX_TALK).await? {
        names::DELIVERIES_REFUSED.increment(&[("reason", "backlog")]);
        let why = format!("too many deliveries of {} wait [{}]", repo.name, codes::TOO_MUCH_TALK);
        let full = Problem::new(StatusCode::TOO_MANY_REQUESTS, why);
        return Err(full.retry_after(TALK_AGAIN_S));
    }
    let id = kept.delivery_id(provider, &body);
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
    let digest = content_digest(provider, &kept, &delivery.body);
    let received = server.store().receive_signed(delivery, digest).await?;
    let answer = json!({"delivery": id, "new": received.is_taken()});
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}

/// The headers that say something about the delivery; and what of them is stored, which is everything
/// but the credential that GitLab sends in a header.
pub(crate) fn kept(headers: &HeaderMap) -> (Headers, Json) {
    let (mut kept, mut stored) = (Headers::default(), Map::new());
    for (name, value) in headers {
        let name = name.as_str();
        let wanted = name.starts_with("x-")
            || name.starts_with("webhook-")
            || matches!(name, "content-type" | "idempotency-key");
        if let (true, Ok(value)) = (wanted && value.len() <= MAX_HEADER, value.to_str()) {
            kept.push(name, value);
            if name != "x-gitlab-token" {
                stored.insert(name.to_owned(), value.into());
            }
        }
    }
    (kept, Json::Object(stored))
}

pub(crate) fn unavailable(error: crate::Error) -> Problem {
    tracing::error!(%error, "a delivery could not be verified");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now; try again")
}

pub(crate) fn refused(refusal: Refusal) -> Problem {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    Problem::new(status, refusal.to_string())
}
