//! The schedules of registered plans, with their last and next ticks.

use jiff::Timestamp;
use plue_plan::Trigger;
use plue_registry::schedule::{Schedule, next};
use plue_store::{Error, RegisteredRow, Store, Tick, repo::pause::PauseScope};

use crate::{
    pauses::in_force,
    records::{resources::ScheduleRecord, workflow::PauseRecord},
};

/// Ticks that a schedule is shown with.
const TICKS: usize = 3;

/// The schedules of these repositories; none: of all.
///
/// # Errors
/// The database.
pub async fn of(
    store: &Store,
    repos: Option<&[String]>,
    now: Timestamp,
) -> Result<Vec<ScheduleRecord>, Error> {
    let mut records = Vec::new();
    let pauses = store.pauses().list(repos).await?;
    for row in &store.repos().registered(repos).await? {
        for trigger in &row.triggers {
            if let Trigger::Schedule { cron, tz, misfire } = trigger {
                let schedule = Schedule { cron, tz, misfire: *misfire };
                let mut record = record(store, row, &schedule, now).await?;
                let mut scopes = PauseScope::ALL.iter();
                record.paused = scopes
                    .find_map(|scope| in_force(&pauses, &row.repo, &row.workflow, *scope))
                    .map(PauseRecord::of);
                records.push(record);
            }
        }
    }
    Ok(records)
}

async fn record(
    store: &Store,
    row: &RegisteredRow,
    schedule: &Schedule<'_>,
    now: Timestamp,
) -> Result<ScheduleRecord, Error> {
    let like = Tick {
        repo: row.repo.clone(),
        file: row.file.clone(),
        workflow: row.workflow.clone(),
        cron: schedule.cron.to_owned(),
        tz: schedule.tz.to_owned(),
        due_at: now,
    };
    let last = store.repos().last_tick(&like).await?;
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
        paused: None,
    })
}
