//! Deliveries of forges and messages to others, with the forms that work on one again.

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use jiff::Timestamp;
use plue_dashboard::{
    ops::{
        Frame, Tab,
        webhooks::{self, Delivery, Effect, Message, MessagesPage, Outgoing, WebhooksPage},
    },
    shell::Page,
    state::State as Shown,
    ui::Tone,
};
use plue_store::{
    RepoRow,
    webhook::{DeliveryRow, DeliveryState, Page as Which, WebhookRow},
};

use super::frame;
use crate::{
    access::{Principal, Role},
    deliveries,
    pages::{
        field,
        reader::{Form, Reader},
    },
    problem::Problem,
    records::resources::{DeliveryRecord, DispatchRecord},
    routes::{
        events::retry_delivery,
        webhooks::{Again, again, webhook_of},
    },
    server::Api,
    watched::repo_record,
};

/// Deliveries of a page, and messages of a page.
const PAGE: u32 = 50;
/// Repositories to choose from.
const MAX_REPOS: usize = 1_000;

/// `GET /webhooks`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load(&api, &reader, query.as_bytes()).await)
}

async fn load(api: &Api, reader: &Reader, query: &[u8]) -> Result<Page, Problem> {
    let mut frame = frame(reader, Tab::Webhooks)?;
    frame.done = done(query);
    let rows = api.store().repos().list().await?;
    let mut seen: Vec<RepoRow> =
        rows.into_iter().filter(|row| reader.who.sees(Some(&row.name))).collect();
    let asked = field(query, "repo");
    let at = match &asked {
        // Hidden repositories and those that do not exist answer alike.
        Some(asked) => seen.iter().position(|row| row.name == *asked).map(Some),
        None => Some((!seen.is_empty()).then_some(0)),
    };
    let Some(at) = at else {
        return Err(Problem::not_found("repository", asked.as_deref().unwrap_or_default()));
    };
    seen.truncate(MAX_REPOS.max(at.map_or(0, |at| at + 1)));
    let mut model = WebhooksPage {
        repos: seen.iter().map(|row| row.name.clone()).collect(),
        repo: String::new(),
        hook: None,
        problem: None,
        deliveries: Vec::new(),
        older: None,
        may_retry: false,
        outgoing: outgoing(api, reader).await?,
    };
    if let Some(row) = at.and_then(|at| seen.get(at)) {
        of_repo(api, reader, row, query, &mut model).await?;
    }
    Ok(webhooks::page(&model, &frame))
}

async fn of_repo(
    api: &Api,
    reader: &Reader,
    row: &RepoRow,
    query: &[u8],
    model: &mut WebhooksPage,
) -> Result<(), Problem> {
    let before = field(query, "before").and_then(|cursor| {
        let (at, id) = cursor.split_once(' ')?;
        Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, id.to_owned()))
    });
    let before = before.as_ref().map(|(at, id)| (*at, id.as_str()));
    let mut rows = api.store().deliveries().list(&row.hook, before, PAGE + 1).await?;
    let has_more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let last = rows.last().filter(|_| has_more);
    model.older = last.map(|last| format!("{} {}", last.received_at.as_microsecond(), last.id));
    let records = deliveries::records(api.store(), rows).await?;
    model.deliveries = records.into_iter().map(delivery).collect();
    let record = repo_record(api.store(), row).await?;
    // Half of a hook's credential.
    model.hook = record.webhook.filter(|_| reader.may(Role::Admin, Some(&row.name)));
    model.problem = record.problem;
    model.may_retry = reader.may(Role::Writer, Some(&row.name));
    model.repo.clone_from(&row.name);
    Ok(())
}

fn delivery(record: DeliveryRecord) -> Delivery {
    Delivery {
        source: record.source,
        id: record.id,
        at: record.received_at,
        state: record.state,
        note: record.note,
        tries: record.tries,
        next: record.next_at,
        effects: record.workflows.into_iter().map(effect).collect(),
        without_trigger: record.without_trigger,
    }
}

fn effect(record: DispatchRecord) -> Effect {
    let state = record.status.as_deref().map(|status| {
        let word = status.split_once(':').map_or(status, |(word, _)| word);
        Shown::of(word)
    });
    Effect {
        workflow: record.workflow,
        result: record.result,
        reason: record.reason,
        run: record.run.map(|run| (run, state)),
    }
}

/// The outgoing webhooks that the reader may see; none: the role is too low everywhere.
async fn outgoing(api: &Api, reader: &Reader) -> Result<Option<Vec<Outgoing>>, Problem> {
    let caller = maintainer(reader);
    if reader.who.role() < Role::Maintainer {
        return Ok(None);
    }
    let rows = api.store().webhooks().list().await?;
    let seen = rows.into_iter().filter(|row| caller.sees(row.repo.as_deref()));
    Ok(Some(seen.map(webhook).collect()))
}

fn maintainer(reader: &Reader) -> Principal {
    reader.who.clone().asking(Role::Maintainer)
}

fn webhook(row: WebhookRow) -> Outgoing {
    Outgoing {
        id: row.id,
        url: row.url,
        events: row.events,
        repo: row.repo,
        description: row.description,
        failing: row.failing_since,
        disabled: row.disabled,
    }
}

/// `POST /webhooks/redeliver`
pub(in crate::pages) async fn redeliver(
    State(api): State<Api>,
    Form { reader, body }: Form,
) -> Response {
    reader.redirect(retried(&api, &reader, &body).await)
}

async fn retried(api: &Api, reader: &Reader, body: &[u8]) -> Result<String, Problem> {
    let repo = field(body, "repo").unwrap_or_default();
    let delivery = field(body, "delivery").unwrap_or_default();
    let caller = reader.who.clone().asking(Role::Writer);
    retry_delivery(api, &caller, &repo, &delivery).await?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("repo", &repo).append_pair("done", "redeliver");
    Ok(format!("/webhooks?{}", query.finish()))
}

fn done(query: &[u8]) -> Option<(Tone, String)> {
    let message = match field(query, "done")?.as_str() {
        "redeliver" => "The delivery is worked on again.",
        "replay" => "The message is sent again.",
        "test" => "A ping is sent.",
        "enable" => "The webhook gets what happens from now on.",
        _ => return None,
    };
    Some((Tone::Good, message.to_owned()))
}

/// `GET /webhooks/out/ID`
pub(in crate::pages) async fn messages(
    State(api): State<Api>,
    reader: Reader,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load_messages(&api, &reader, &id, query.as_bytes()).await)
}

async fn load_messages(
    api: &Api,
    reader: &Reader,
    id: &str,
    query: &[u8],
) -> Result<Page, Problem> {
    let frame = Frame { done: done(query), ..frame(reader, Tab::Webhooks)? };
    let row = webhook_of(api, &maintainer(reader), id).await?;
    let before = field(query, "before").and_then(|cursor| {
        let (at, message) = cursor.split_once('.')?;
        Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, message.to_owned()))
    });
    let which = Which { state: None, before, limit: PAGE + 1 };
    let mut rows = api.store().webhooks().deliveries(id, &which).await?;
    let has_more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let last = rows.last().filter(|_| has_more);
    let older = last.map(|last| format!("{}.{}", last.created_at.as_microsecond(), last.message));
    // Those of all repositories are an admin's.
    let need = if row.repo.is_none() { Role::Admin } else { Role::Maintainer };
    let may_act = reader.may(need, row.repo.as_deref());
    let messages = rows.into_iter().map(message).collect();
    let model = MessagesPage { webhook: webhook(row), messages, older, may_act };
    Ok(webhooks::messages(&model, &frame))
}

fn message(row: DeliveryRow) -> Message {
    Message {
        times: (row.created_at, (row.state == DeliveryState::Open).then_some(row.next_at)),
        id: row.message,
        event: row.event,
        run: row.fact.map(|(run, _)| run.to_string()),
        state: row.state.as_str().to_owned(),
        tries: row.tries,
        status: row.status,
        note: row.note,
    }
}

/// `POST /webhooks/out/ID/ACTION`
pub(in crate::pages) async fn act(
    State(api): State<Api>,
    Path((id, action)): Path<(String, String)>,
    Form { reader, body }: Form,
) -> Response {
    reader.redirect(acted(&api, &reader, &id, &action, &body).await)
}

async fn acted(
    api: &Api,
    reader: &Reader,
    id: &str,
    action: &str,
    body: &[u8],
) -> Result<String, Problem> {
    let what = match action {
        "replay" => Again::Message(field(body, "message").unwrap_or_default()),
        "test" => Again::Ping,
        "enable" => Again::Enable,
        _ => return Err(Problem::not_found("action", action)),
    };
    again(api, &maintainer(reader), id, what).await?;
    Ok(format!("/webhooks/out/{id}?done={action}"))
}
