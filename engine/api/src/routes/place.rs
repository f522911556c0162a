//! What a server has to do and what it has: schedules, runners, pools, usage.

use axum::{extract::State, routing::get};
use jiff::{SignedDuration, Timestamp};
use plue_plan::Trigger;
use plue_registry::schedule::{Schedule, next};
use plue_store::{RegisteredRow, Tick};
use serde::Deserialize;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Query, repos_of},
    problem::Problem,
    records::place::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord},
    server::Api,
};

/// Ticks that a schedule is shown with.
const TICKS: usize = 3;
/// The period of usage unless the client says.
const PERIOD: SignedDuration = SignedDuration::from_hours(24 * 30);

const USAGE: [Parameter; 3] = [
    Parameter { name: "from", kind: "string", means: "RFC 3339; absent: 30 days before `to`" },
    Parameter { name: "to", kind: "string", means: "RFC 3339, not included; absent: now" },
    Parameter { name: "repository", kind: "string", means: "only of this repository" },
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Period {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    repository: Option<String>,
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
        route: || get(schedules),
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
            summary: "Runs, attempts and minutes by repository, of runs created in a period",
            query: &USAGE,
            answer: Answer::Json(schema::<Vec<UsageRecord>>),
            route: || get(usage),
            ..schedules.clone()
        },
        schedules,
    ]
}

async fn schedules(
    State(api): State<Api>,
    Caller(caller): Caller,
) -> Result<axum::Json<Vec<ScheduleRecord>>, Problem> {
    let rows = api.store().registered(caller.repos().as_deref()).await?;
    let mut records = Vec::new();
    for row in &rows {
        for trigger in &row.triggers {
            if let Trigger::Schedule { cron, tz, misfire } = trigger {
                let schedule = Schedule { cron, tz, misfire: *misfire };
                records.push(scheduled(&api, row, &schedule).await?);
            }
        }
    }
    Ok(axum::Json(records))
}

async fn scheduled(
    api: &Api,
    row: &RegisteredRow,
    schedule: &Schedule<'_>,
) -> Result<ScheduleRecord, Problem> {
    let now = api.clock().now();
    let like = Tick {
        repo: row.repo.clone(),
        file: row.file.clone(),
        workflow: row.workflow.clone(),
        cron: schedule.cron.to_owned(),
        tz: schedule.tz.to_owned(),
        due_at: now,
    };
    let last = api.store().last_tick(&like).await?;
    let mut ticks = Vec::new();
    while ticks.len() < TICKS
        && let Ok(Some(tick)) = next(schedule, ticks.last().copied().unwrap_or(now))
    {
        ticks.push(tick);
    }
    let misfire = serde_json::to_value(schedule.misfire).ok();
    Ok(ScheduleRecord {
        repository: like.repo,
        file: like.file,
        workflow: like.workflow,
        cron: like.cron,
        tz: like.tz,
        misfire: misfire.and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default(),
        last,
        next: ticks,
    })
}

async fn runners(State(api): State<Api>) -> Result<axum::Json<Vec<RunnerRecord>>, Problem> {
    let rows = api.store().runners(None).await?;
    Ok(axum::Json(rows.iter().map(RunnerRecord::of).collect()))
}

async fn pools(State(api): State<Api>) -> Result<axum::Json<Vec<PoolRecord>>, Problem> {
    let (queues, runners) = (api.store().queues().await?, api.store().runners(None).await?);
    Ok(axum::Json(PoolRecord::all(&queues, &runners)))
}

async fn usage(
    State(api): State<Api>,
    Caller(caller): Caller,
    Query(period): Query<Period>,
) -> Result<axum::Json<Vec<UsageRecord>>, Problem> {
    let to = period.to.unwrap_or_else(|| api.clock().now());
    let from = match period.from {
        Some(from) => from,
        None => to.checked_sub(PERIOD).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    if from >= to {
        return Err(Problem::bad_request("`from` is before `to`"));
    }
    let repos = repos_of(&caller, period.repository)?;
    let rows = api.store().usage(repos.as_deref(), from, to).await?;
    Ok(axum::Json(rows.iter().map(UsageRecord::of).collect()))
}
