//! Work and resources of a server: schedules, runners, pools, usage.

use axum::{extract::State, routing::get};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use plue_store::UsageBy;
use serde::Deserialize;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Query, repos_of},
    problem::Problem,
    records::resources::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord},
    schedules,
    server::Api,
};

/// The period of usage unless the client names one.
const PERIOD: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Characters of a date: `2026-11-23`.
const DATE_LEN: usize = 10;

const USAGE: [Parameter; 4] = [
    Parameter {
        name: "from",
        kind: "string",
        means: "RFC 3339, or a date in UTC; absent: 30 days before `to`",
    },
    Parameter {
        name: "to",
        kind: "string",
        means: "RFC 3339, or a date in UTC, not included; absent: now",
    },
    Parameter { name: "repository", kind: "string", means: "only of this repository" },
    Parameter {
        name: "by",
        kind: "string",
        means: "`repository`, `workflow` or `organisation`: the owner of repositories; absent: `repository`",
    },
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Period {
    from: Option<String>,
    to: Option<String>,
    repository: Option<String>,
    by: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let schedules = Endpoint {
        method: Method::Get,
        path: "/api/v1/schedules",
        need: Need::Role(Role::Reader),
        summary: "The schedules of registered plans, with their next ticks",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<ScheduleRecord>>),
        route: || get(list_schedules),
    };
    vec![
        Endpoint {
            path: "/api/v1/runners",
            need: Need::Everywhere(Role::Reader),
            summary: "Runners that are not gone",
            answer: Answer::Json(schema::<Vec<RunnerRecord>>),
            route: || get(runners),
            ..schedules.clone()
        },
        Endpoint {
            path: "/api/v1/pools",
            need: Need::Everywhere(Role::Reader),
            summary: "Pools: their runners and what is queued",
            answer: Answer::Json(schema::<Vec<PoolRecord>>),
            route: || get(pools),
            ..schedules.clone()
        },
        Endpoint {
            path: "/api/v1/usage",
            summary: "Runs, attempts, minutes and use of Claude by repository, workflow or organisation, of \
                      runs created in a period; at most 10,000 repositories or workflows",
            query: &USAGE,
            answer: Answer::Json(schema::<Vec<UsageRecord>>),
            route: || get(usage),
            ..schedules.clone()
        },
        schedules,
    ]
}

async fn list_schedules(
    State(api): State<Api>,
    Caller(caller): Caller,
) -> Result<axum::Json<Vec<ScheduleRecord>>, Problem> {
    let (repos, now) = (caller.repos(), api.clock().now());
    Ok(axum::Json(schedules::of(api.store(), repos.as_deref(), now).await?))
}

async fn runners(State(api): State<Api>) -> Result<axum::Json<Vec<RunnerRecord>>, Problem> {
    let rows = api.store().runners().list(None).await?;
    Ok(axum::Json(rows.iter().map(RunnerRecord::of).collect()))
}

async fn pools(State(api): State<Api>) -> Result<axum::Json<Vec<PoolRecord>>, Problem> {
    let (queues, runners) =
        (api.store().usage().queues().await?, api.store().runners().list(None).await?);
    Ok(axum::Json(PoolRecord::all(&queues, &runners, &api.store().pools().list().await?)))
}

/// A time, or the beginning of a day in UTC.
fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let day = || {
        // A date and nothing else: a time without its zone is no time.
        let date: Date = (text.len() == DATE_LEN).then(|| text.parse().ok())??;
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    let found = text.parse().ok().or_else(day);
    let bad = || Problem::bad_request(format!("`{name}` is a time as RFC 3339 has it, or a date"));
    found.ok_or_else(bad).map(Some)
}

async fn usage(
    State(api): State<Api>,
    Caller(caller): Caller,
    Query(period): Query<Period>,
) -> Result<axum::Json<Vec<UsageRecord>>, Problem> {
    let to = moment("to", period.to.as_deref())?.unwrap_or_else(|| api.clock().now());
    let from = match moment("from", period.from.as_deref())? {
        Some(from) => from,
        None => to.checked_sub(PERIOD).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    if from >= to {
        return Err(Problem::bad_request("`from` is before `to`"));
    }
    let by = match period.by.as_deref() {
        None | Some("repository") => UsageBy::Repository,
        Some("workflow") => UsageBy::Workflow,
        Some("organisation") => UsageBy::Organisation,
        Some(_) => {
            let why = "`by` is `repository`, `workflow` or `organisation`";
            return Err(Problem::bad_request(why));
        }
    };
    let repos = repos_of(&caller, period.repository)?;
    let rows = api.store().usage().list(by, repos.as_deref(), from, to).await?;
    Ok(axum::Json(rows.iter().map(|row| UsageRecord::of(row, by)).collect()))
}
