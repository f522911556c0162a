//! Outgoing webhooks: their URLs and the state of their messages. (Webhooks of forges are received
//! elsewhere: `/hooks/…`.)

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, post},
};
use jiff::Timestamp;
use plue_store::webhook::{DeliveryState, EVENTS, Page as Which, WebhookRow};
use serde::Deserialize;
use serde_json::json;

use super::{CURSOR, LIMIT, page_size, schema};
use crate::{
    access::{Need, Principal, Refusal, Role},
    commands::WebhookRequest,
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Json, Path, Query, repo_of},
    problem::Problem,
    records::{
        Page,
        webhook::{NewWebhookRecord, WebhookDeliveryRecord, WebhookRecord},
    },
    server::Api,
};

/// Characters of a description.
const MAX_DESCRIPTION: usize = 256;

const STATE: Parameter =
    Parameter { name: "state", kind: "string", means: "only `open`, `delivered` or `failed`" };

/// Query of the list of deliveries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/webhooks",
        need: Need::Role(Role::Maintainer),
        summary: "Outgoing webhooks, the oldest first",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<WebhookRecord>>),
        route: || get(list),
    };
    let one = Endpoint {
        path: "/api/v1/webhooks/{webhook}",
        summary: "An outgoing webhook",
        answer: Answer::Json(schema::<WebhookRecord>),
        route: || get(show),
        ..list.clone()
    };
    let add = Endpoint {
        method: Method::Post,
        summary: "Send events to a URL; the answer is the only place that shows the secret. \
                  Those of all repositories are an admin's",
        body: Some(schema::<WebhookRequest>),
        answer: Answer::Created(schema::<NewWebhookRecord>),
        route: || post(add),
        ..list.clone()
    };
    [vec![list, add, one.clone()], changes(&one), deliveries(&one)].concat()
}

fn changes(one: &Endpoint) -> Vec<Endpoint> {
    let change = Endpoint { method: Method::Post, ..one.clone() };
    vec![
        Endpoint {
            method: Method::Delete,
            summary: "Remove a webhook with its unsent messages",
            answer: Answer::Nothing,
            route: || delete(remove),
            ..change.clone()
        },
        Endpoint {
            path: "/api/v1/webhooks/{webhook}/rotate",
            summary: "A new secret; for a day messages are signed with the old one too",
            answer: Answer::Json(schema::<NewWebhookRecord>),
            route: || post(rotate),
            ..change.clone()
        },
        Endpoint {
            path: "/api/v1/webhooks/{webhook}/enable",
            summary: "Enable a disabled webhook, for events from now on",
            route: || post(enable),
            ..change.clone()
        },
        Endpoint {
            path: "/api/v1/webhooks/{webhook}/test",
            summary: "Send a ping",
            answer: Answer::Created(schema::<WebhookDeliveryRecord>),
            route: || post(test),
            ..change
        },
    ]
}

fn deliveries(one: &Endpoint) -> Vec<Endpoint> {
    let list = Endpoint {
        path: "/api/v1/webhooks/{webhook}/deliveries",
        summary: "What was sent to a webhook or will be, the newest first",
        query: &[STATE, LIMIT, CURSOR],
        answer: Answer::Json(schema::<Page<WebhookDeliveryRecord>>),
        route: || get(sent),
        ..one.clone()
    };
    let single = Endpoint {
        path: "/api/v1/webhooks/{webhook}/deliveries/{delivery}",
        summary: "One of them",
        query: &[],
        answer: Answer::Json(schema::<WebhookDeliveryRecord>),
        route: || get(delivery),
        ..list.clone()
    };
    let replay = Endpoint {
        method: Method::Post,
        path: "/api/v1/webhooks/{webhook}/deliveries/{delivery}/replay",
        summary: "Send a message again, under the same id",
        route: || post(replay),
        ..single.clone()
    };
    vec![list, single, replay]
}

/// A change of a webhook that sends something.
#[derive(Debug)]
pub(crate) enum Again {
    /// This message, under the same id.
    Message(String),
    /// A ping, which is about no run.
    Ping,
    /// Everything that happens from now on, after it was disabled.
    Enable,
}

/// Sends a message again, a ping, or what happens from now on.
///
/// # Errors
/// There is no such webhook or message, the caller may not change it, or it is disabled.
pub(crate) async fn again(
    api: &Api,
    caller: &Principal,
    id: &str,
    what: Again,
) -> Result<Option<String>, Problem> {
    let row = own_webhook(api, caller, id).await?;
    let now = api.clock().now();
    let (action, detail, message) = match what {
        Again::Enable => {
            api.store().webhooks().enable(id).await?;
            ("webhook.enable", json!({}), None)
        }
        Again::Ping => {
            enabled(&row)?;
            let message = format!("msg_{}", api.ids().text());
            api.store().webhooks().ping(id, &message, now).await?;
            ("webhook.test", json!({}), Some(message))
        }
        Again::Message(message) => {
            enabled(&row)?;
            if !api.store().webhooks().replay(id, &message, now).await? {
                return Err(Problem::not_found("delivery", &message));
            }
            ("webhook.replay", json!({"delivery": message}), Some(message))
        }
    };
    api.trail(caller, action, (id, row.repo), detail).await?;
    Ok(message)
}

/// A webhook that the caller may see.
///
/// # Errors
/// There is none, or none for this caller.
pub(crate) async fn webhook_of(
    api: &Api,
    caller: &Principal,
    id: &str,
) -> Result<WebhookRow, Problem> {
    let row = api.store().webhooks().get(id).await?;
    row.filter(|row| caller.sees(row.repo.as_deref()))
        .ok_or_else(|| Problem::not_found("webhook", id))
}

/// The same, if he may change it: those of all repositories are an admin's.
async fn own_webhook(api: &Api, caller: &Principal, id: &str) -> Result<WebhookRow, Problem> {
    let row = webhook_of(api, caller, id).await?;
    if row.repo.is_none() && caller.role_in(None) < Some(Role::Admin) {
        return Err(Refusal::Role(Role::Admin).into());
    }
    Ok(row)
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
) -> Result<axum::Json<Vec<WebhookRecord>>, Problem> {
    let rows = api.store().webhooks().list().await?;
    let seen = rows.iter().filter(|row| caller.sees(row.repo.as_deref()));
    Ok(axum::Json(seen.map(WebhookRecord::of).collect()))
}

async fn show(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<WebhookRecord>, Problem> {
    Ok(axum::Json(WebhookRecord::of(&webhook_of(&api, &caller, &id).await?)))
}

async fn add(
    State(api): State<Api>,
    Caller(caller): Caller,
    Json(request): Json<WebhookRequest>,
) -> Result<(StatusCode, axum::Json<NewWebhookRecord>), Problem> {
    match &request.repository {
        Some(name) => drop(repo_of(&api, &caller, name).await?),
        None => Need::Everywhere(Role::Admin).admits(Some(&caller))?,
    }
    request.check().map_err(Problem::bad_request)?;
    let (repo, events) = (request.repository.clone(), request.events.clone());
    let made = api.commands().add_webhook(request, caller.name.clone()).await?;
    let what = json!({"events": events});
    api.trail(&caller, "webhook.add", (&made.id, repo), what).await?;
    let row = webhook_of(&api, &caller, &made.id).await?;
    let record = WebhookRecord::of(&row);
    Ok((StatusCode::CREATED, axum::Json(NewWebhookRecord { secret: made.secret, record })))
}

async fn remove(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let row = own_webhook(&api, &caller, &id).await?;
    api.commands().remove_webhook(id.clone()).await?;
    api.trail(&caller, "webhook.remove", (&id, row.repo), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<NewWebhookRecord>, Problem> {
    let row = own_webhook(&api, &caller, &id).await?;
    let made = api.commands().rotate_webhook(id.clone()).await?;
    api.trail(&caller, "webhook.rotate", (&id, row.repo), json!({})).await?;
    let record = WebhookRecord::of(&webhook_of(&api, &caller, &id).await?);
    Ok(axum::Json(NewWebhookRecord { secret: made.secret, record }))
}

async fn enable(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<WebhookRecord>, Problem> {
    again(&api, &caller, &id, Again::Enable).await?;
    Ok(axum::Json(WebhookRecord::of(&webhook_of(&api, &caller, &id).await?)))
}

async fn test(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<WebhookDeliveryRecord>), Problem> {
    let message = again(&api, &caller, &id, Again::Ping).await?.unwrap_or_default();
    Ok((StatusCode::CREATED, axum::Json(one_of(&api, &id, &message).await?)))
}

async fn sent(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<Page<WebhookDeliveryRecord>>, Problem> {
    webhook_of(&api, &caller, &id).await?;
    let limit = page_size(wanted.limit)?;
    let state = wanted.state.as_deref().map(str::parse::<DeliveryState>).transpose();
    let state = state.map_err(Problem::bad_request)?;
    let before = wanted.cursor.as_deref().map(place).transpose()?;
    let page = Which { state, before, limit: limit + 1 };
    let mut rows = api.store().webhooks().deliveries(&id, &page).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more);
    let next = next.map(|last| format!("{}.{}", last.created_at.as_microsecond(), last.message));
    let items = rows.iter().map(WebhookDeliveryRecord::of).collect();
    Ok(axum::Json(Page { items, next }))
}

/// The time and the message that a cursor stands for.
fn place(cursor: &str) -> Result<(Timestamp, String), Problem> {
    let read = || {
        let (at, message) = cursor.split_once('.')?;
        let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
        Some((at, message.to_owned()))
    };
    read().ok_or_else(|| Problem::bad_request("`cursor` is not from a page of this list"))
}

async fn delivery(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((id, message)): Path<(String, String)>,
) -> Result<axum::Json<WebhookDeliveryRecord>, Problem> {
    webhook_of(&api, &caller, &id).await?;
    Ok(axum::Json(one_of(&api, &id, &message).await?))
}

async fn replay(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((id, message)): Path<(String, String)>,
) -> Result<axum::Json<WebhookDeliveryRecord>, Problem> {
    again(&api, &caller, &id, Again::Message(message.clone())).await?;
    Ok(axum::Json(one_of(&api, &id, &message).await?))
}

async fn one_of(api: &Api, id: &str, message: &str) -> Result<WebhookDeliveryRecord, Problem> {
    let row = api.store().webhooks().delivery(id, message).await?;
    let row = row.ok_or_else(|| Problem::not_found("delivery", message))?;
    Ok(WebhookDeliveryRecord::of(&row))
}

fn enabled(row: &WebhookRow) -> Result<(), Problem> {
    match &row.disabled {
        None => Ok(()),
        Some((_, reason)) => Err(Problem::conflict(format!("the webhook is disabled: {reason}"))),
    }
}

// === impl WebhookRequest ===

impl WebhookRequest {
    /// Checks the request, apart from its address.
    ///
    /// # Errors
    /// The first fault, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.events.is_empty() {
            return Err(format!("`events` are some of {}", EVENTS.join(", ")));
        }
        if let Some(unknown) = self.events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
            return Err(format!("{unknown:?} is none of the events {}", EVENTS.join(", ")));
        }
        let text = &self.description;
        if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
            return Err(format!(
                "`description` is one line of at most {MAX_DESCRIPTION} characters"
            ));
        }
        Ok(())
    }
}
