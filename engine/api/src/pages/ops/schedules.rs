//! Schedules of registered workflows.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    ops::{
        Tab,
        schedules::{self, Pause, Schedule},
    },
    shell::Page,
};

use super::frame;
use crate::{
    access::Role,
    pages::{reader::Reader, workflows::paused_message},
    problem::Problem,
    records::{resources::ScheduleRecord, workflow::PauseRecord},
    schedules::of,
    server::Api,
};

/// `GET /schedules`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load(&api, &reader, query.as_bytes()).await)
}

async fn load(api: &Api, reader: &Reader, query: &[u8]) -> Result<Page, Problem> {
    let mut frame = frame(reader, Tab::Schedules)?;
    frame.done = paused_message(query);
    let (repos, now) = (reader.who.repos(), api.clock().now());
    let records = of(api.store(), repos.as_deref(), now).await?;
    let schedules: Vec<Schedule> =
        records.into_iter().map(|record| schedule(reader, record)).collect();
    Ok(schedules::page(&schedules, &frame))
}

fn schedule(reader: &Reader, record: ScheduleRecord) -> Schedule {
    Schedule {
        may_act: reader.may(Role::Maintainer, Some(&record.repository)),
        repo: record.repository,
        workflow: record.workflow,
        cron: (record.cron, record.tz),
        misfire: record.misfire,
        last: record.last,
        next: record.next,
        paused: record.paused.map(pause),
    }
}

/// A pause as pages show it.
pub(in crate::pages) fn pause(record: PauseRecord) -> Pause {
    Pause { by: record.by, since: record.since, reason: record.reason }
}
