//! Messages for a repository, and what came for it: deliveries with what became of them.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{CURSOR, LIMIT, page_size, schema};
use crate::{
    access::{Need, Principal, Role},
    commands::{EventReceipt, EventRequest},
    deliveries,
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path, Query, repo_of},
    problem::Problem,
    records::{Page, resources::DeliveryRecord},
    server::Api,
};

/// Query of the list of deliveries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let send = Endpoint {
        method: Method::Post,
        path: "/api/v1/repositories/{repository}/events",
        need: Need::Role(Role::Writer),
        summary: "Send a message on a topic; with an Idempotency-Key however often, it is one",
        query: &[],
        body: Some(schema::<EventRequest>),
        answer: Answer::Created(schema::<EventReceipt>),
        route: || post(send),
    };
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/repositories/{repository}/deliveries",
        need: Need::Role(Role::Reader),
        summary: "What came for a repository, the newest first, and why which plan ran or did not",
        query: &[LIMIT, CURSOR],
        body: None,
        answer: Answer::Json(schema::<Page<DeliveryRecord>>),
        route: || get(list),
    };
    let retry = Endpoint {
        method: Method::Post,
        path: "/api/v1/repositories/{repository}/deliveries/{delivery}/retry",
        need: Need::Role(Role::Writer),
        summary: "Work again on a delivery that failed or was set aside, or that waits for its next try",
        query: &[],
        body: None,
        answer: Answer::Nothing,
        route: || post(retry),
    };
    vec![send, list, retry]
}

async fn send(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(event): Json<EventRequest>,
) -> Result<(StatusCode, axum::Json<EventReceipt>), Problem> {
    let repo = repo_of(&api, &caller, &name).await?.name;
    let key = headers.get("idempotency-key").map(|key| key.to_str().map(str::to_owned));
    let key = key.transpose();
    let key = key.map_err(|_| Problem::bad_request("Idempotency-Key is ASCII"))?;
    // Each sender has keys of its own; those of this machine share theirs with other tools.
    let key = key.map(|key| match caller.is_local() {
        true => key,
        false => format!("{}:{key}", caller.name),
    });
    let topic = event.topic.clone();
    let by = caller.actor().to_owned();
    let receipt = api.commands().send_event(repo.clone(), key, event, by).await?;
    if receipt.new {
        api.trail(&caller, "event.send", (&topic, Some(repo)), json!({"id": receipt.id})).await?;
    }
    Ok((StatusCode::CREATED, axum::Json(receipt)))
}

async fn retry(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((name, delivery)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    retry_delivery(&api, &caller, &name, &delivery).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Works again on a delivery that failed or waits.
///
/// # Errors
/// There is none, or the caller may not.
pub(crate) async fn retry_delivery(
    api: &Api,
    caller: &Principal,
    repo: &str,
    delivery: &str,
) -> Result<(), Problem> {
    let repo = repo_of(api, caller, repo).await?;
    if !api.store().delivery_queues().retry(&repo.hook, delivery).await? {
        return Err(Problem::not_found("delivery that failed or waits", delivery));
    }
    api.trail(caller, "event.retry", (delivery, Some(repo.name)), json!({})).await
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<DeliveryRecord>>, Problem> {
    let repo = repo_of(&api, &caller, &name).await?;
    let limit = page_size(which.limit)?;
    let before = which.cursor.as_deref().map(|cursor| {
        let bad = || Problem::bad_request("`cursor` is `next` of the page before");
        let (at, id) = cursor.split_once(' ').ok_or_else(bad)?;
        let at = at.parse().ok().and_then(|at| Timestamp::from_microsecond(at).ok());
        Ok::<_, Problem>((at.ok_or_else(bad)?, id))
    });
    let mut rows =
        api.store().deliveries().list(&repo.hook, before.transpose()?, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    let next = last.map(|last| format!("{} {}", last.received_at.as_microsecond(), last.id));
    Ok(axum::Json(Page { items: deliveries::records(api.store(), rows).await?, next }))
}
