//! The stream of a browser: several topics over one connection.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response, routing::get};
use futures::{FutureExt as _, future::BoxFuture};
use plue_plan::RunId;
use plue_store::{Error, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    logs::{self, AttemptPath, attempt_of},
    schema,
};
use crate::{
    access::{Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Query, run_of},
    limit::Holder,
    problem::Problem,
    server::Api,
    stream::{
        Follow, Frame, Source, Stand, changed,
        topics::{self, Topic},
    },
};

/// Topics of one connection.
const MAX_TOPICS: usize = 64;
/// Characters of a topic.
const MAX_NAME: usize = 160;

const TOPICS: Parameter = Parameter {
    name: "topics",
    kind: "string",
    means: "`runs` (any run changed), `run:RUN` (a run changed), `log:RUN:ATTEMPT` (pieces of a log), \
            separated by commas; at most 64",
};
const AFTER: Parameter = Parameter {
    name: "after",
    kind: "string",
    means: "for each topic the number of the last event that the client has, separated by commas; a \
            missing one is 0",
};

/// An event of a topic.
#[derive(Debug, Serialize, JsonSchema)]
struct TopicEvent {
    /// Topic, as the request names it.
    topic: String,
    /// Its number; grows within the topic.
    seq: u64,
    /// Kind of `data`, for topics that carry some.
    event: Option<String>,
    /// Data of the event: for `log` a piece of it.
    data: Option<Json>,
    /// Whether no event of this topic will come: it has ended, or there is none for this caller.
    ended: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    topics: String,
    after: Option<String>,
}

/// Changes of a run, followed. An ended run may be retried, so it has no end.
struct RunChanges {
    store: Store,
    run: RunId,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/api/v1/stream",
        need: Need::Role(Role::Reader),
        summary: "Events of several topics over one connection; continues behind Last-Event-ID",
        query: &[TOPICS, AFTER],
        body: None,
        answer: Answer::Events(schema::<TopicEvent>),
        route: || get(events),
    }]
}

async fn events(
    State(api): State<Api>,
    Caller(caller): Caller,
    holder: Holder,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = cursors(last.or(asked.after.as_deref()).unwrap_or_default())?;
    let mut all = Vec::new();
    for (at, name) in asked.topics.split(',').filter(|name| !name.is_empty()).enumerate() {
        if at >= MAX_TOPICS {
            return Err(Problem::bad_request(format!("a stream has at most {MAX_TOPICS} topics")));
        }
        let cursor = after.get(at).copied().unwrap_or(0);
        all.push(topic(&api, &caller, name, cursor).await?);
    }
    topics::events(&api, &holder, all)
}

fn cursors(text: &str) -> Result<Vec<u64>, Problem> {
    let numbers = text.split(',').filter(|part| !part.is_empty()).take(MAX_TOPICS);
    let numbers: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
    numbers.map_err(|_| Problem::bad_request("`after` is numbers separated by commas"))
}

/// A topic as the caller may see it: one that is hidden ends at once, as one that does not exist.
async fn topic(api: &Api, caller: &Principal, name: &str, cursor: u64) -> Result<Topic, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
    let unknown = || Problem::bad_request("a topic is `runs`, `run:RUN` or `log:RUN:ATTEMPT`");
    if name.len() > MAX_NAME || !name.bytes().all(is_plain) {
        return Err(unknown());
    }
    let (kind, rest) = name.split_once(':').unwrap_or((name, ""));
    let follow = match (kind, rest.split_once(':')) {
        ("runs", None) if rest.is_empty() => Ok(changed::follow(api, cursor)),
        ("run", None) => run_of(api, caller, rest).await.map(|row| Follow {
            name: format!("changes {}", row.id),
            changes: api.store().changes_of(&row.id),
            cursor,
            source: Arc::new(RunChanges { store: api.store().clone(), run: row.id }),
        }),
        ("log", Some((run, attempt))) => {
            let path = AttemptPath { run: run.to_owned(), attempt: attempt.to_owned() };
            let row = attempt_of(api, caller, &path).await;
            row.map(|row| logs::follow(api, row, cursor))
        }
        (_, _) => return Err(unknown()),
    };
    let follow = match follow {
        Ok(follow) => Some(follow),
        Err(hidden) if hidden.status == 404 => None,
        Err(problem) => return Err(problem),
    };
    Ok(Topic { name: name.to_owned(), follow, cursor, has_data: kind == "log" })
}

impl Source for RunChanges {
    fn stand(&self) -> BoxFuture<'_, Result<Option<Stand>, Error>> {
        async move {
            let row = self.store.runs().get(&self.run).await?;
            Ok(row.map(|row| Stand { reach: row.seq, ended: false }))
        }
        .boxed()
    }

    fn behind(&self, seq: u64) -> BoxFuture<'_, Result<Vec<Frame>, Error>> {
        async move {
            let row = self.store.runs().get(&self.run).await?;
            let reach = row.map_or(0, |row| row.seq);
            let new = (reach > seq).then(|| Frame::new("changed", reach, &json!({})));
            Ok(new.into_iter().collect())
        }
        .boxed()
    }
}
