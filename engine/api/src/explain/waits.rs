//! Obstacles of a run: its turn in a concurrency group, a place, the key of a secret, an
//! engine, a runner.
//!
//! Must not list what its steps wait for by their own will, such as decisions: the journal has those.

use plue_flow::{RunStatus, fact::Reason};
use plue_plan::StepId;
use plue_store::{Error, Obstacle, ObstacleKind, RunRow, Store, deaths::MAX_DEATHS, group_name};

use crate::records::{
    RunRecord,
    status::{WaitKind, WaitingRecord},
};

/// Runs of a list whose reasons are looked for: a few queries each.
const MAX_REASONS: usize = 20;

/// Everything that a run waits for.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Each of them, those of the run as a whole first.
    pub(super) records: Vec<WaitingRecord>,
    /// The reason of the run's wait, in words.
    reason: Option<String>,
}

// === impl Waits ===

impl Waits {
    /// Waits as a whole, for one thing.
    fn whole(record: WaitingRecord) -> Self {
        Self { reason: Some(record.words.clone()), records: vec![record] }
    }

    /// The row of the run with the reason of its wait, unless it has one.
    pub(super) fn row(&self, row: &RunRow) -> RunRow {
        let mut row = row.clone();
        if row.is_set_aside() || row.view.reason.is_none() {
            row.view.reason = self.reason.clone().or(row.view.reason);
        }
        row
    }
}

/// Obstacles of a run.
pub(super) async fn of_run(store: &Store, row: &RunRow) -> Result<Waits, Error> {
    if row.is_set_aside() {
        let words = format!(
            "set aside: {MAX_DEATHS} times in a row an engine died with it; go on with \
             `plue retry {0}` (with a server) or `plue resume {0}`, end it with `plue cancel {0}`",
            row.id
        );
        return Ok(Waits::whole(WaitingRecord::of_run(WaitKind::Retry, words)));
    }
    match row.view.status {
        RunStatus::Queued => queued(store, row).await,
        RunStatus::Running | RunStatus::Waiting => of_started(store, row).await,
        RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
            Ok(Waits::default())
        }
    }
}

/// The row of a run, with the reason of its wait if something keeps it from going on.
///
/// # Errors
/// [`Error`] of the database.
pub async fn with_reason(store: &Store, row: &RunRow) -> Result<RunRow, Error> {
    Ok(of_run(store, row).await?.row(row))
}

/// The records of listed runs; the first 20 that wait have their reasons.
///
/// # Errors
/// [`Error`] of the database.
pub async fn listed(store: &Store, rows: &[RunRow]) -> Result<Vec<RunRecord>, Error> {
    let (mut records, mut asked) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        if row.view.status.is_terminal() || asked == MAX_REASONS {
            records.push(RunRecord::of(row));
        } else {
            asked += 1;
            records.push(RunRecord::of(&with_reason(store, row).await?));
        }
    }
    Ok(records)
}

async fn queued(store: &Store, row: &RunRow) -> Result<Waits, Error> {
    if let Some(turn) = turn_of(store, row).await? {
        return Ok(Waits::whole(turn));
    }
    if let Some(obstacle) = store.runs().obstacle(&row.id).await? {
        return Ok(Waits::whole(met(obstacle)));
    }
    let waits = store.capacity().waits(row).await?;
    Ok(waits.map_or_else(Waits::default, |waits| {
        let words = format!("waits for a place: {waits}");
        Waits::whole(WaitingRecord::of_run(WaitKind::Place, words))
    }))
}

/// Waits of a started run: an obstacle to driving it, and the steps without a runner. Those are the
/// run's reason while none of its steps is running.
async fn of_started(store: &Store, row: &RunRow) -> Result<Waits, Error> {
    let mut waits = store
        .runs()
        .obstacle(&row.id)
        .await?
        .map_or_else(Waits::default, |obstacle| Waits::whole(met(obstacle)));
    let held = store.runs().steps_without_runner(&row.id).await?;
    if waits.reason.is_none()
        && let Some((step, why)) = held.first()
        && !store.runs().has_running_step(&row.id).await?
    {
        waits.reason = Some(format!("step `{step}` {why}"));
    }
    waits.records.extend(held.into_iter().map(|(step, why)| without_runner(&step, &why)));
    Ok(waits)
}

/// The run in front of a queued run in its concurrency group; `None`: it is in none, or the first.
///
/// # Errors
/// [`Error`] of the database.
pub async fn turn_of(store: &Store, row: &RunRow) -> Result<Option<WaitingRecord>, Error> {
    let Some(key) = store.groups().of_run(&row.id).await? else { return Ok(None) };
    let members = store.groups().members(&key).await?;
    let in_front = members.iter().take_while(|member| member.run != row.id).last();
    Ok(in_front.map(|front| {
        let group = group_name(row.repo.as_deref(), &key).to_owned();
        let words = format!("waits for its turn in the group `{group}` behind run {}", front.run);
        let behind = Some(front.run.to_string());
        WaitingRecord { behind, group: Some(group), ..WaitingRecord::of_run(WaitKind::Turn, words) }
    }))
}

fn met(obstacle: Obstacle) -> WaitingRecord {
    let kind = match obstacle.kind {
        ObstacleKind::Secret => WaitKind::Secret,
        ObstacleKind::Engine => WaitKind::Engine,
    };
    WaitingRecord::of_run(kind, obstacle.words)
}

fn without_runner(step: &StepId, why: &Reason) -> WaitingRecord {
    let record = WaitingRecord::of_run(WaitKind::Runner, why.to_string());
    WaitingRecord { step: Some(step.to_string()), ..record }
}
