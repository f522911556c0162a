//! The pieces of one log, from the store to a writer, once or until the run has ended.

use std::time::Duration;

use plue_plan::{AttemptId, RunId, StepId};
use plue_store::{AttemptRow, LogPiece, LogRange, Store};
use tokio::sync::watch;

use super::{
    PAGE,
    writer::{Shape, Writer},
};
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
};

/// Without a wake-up the store is looked at this often: one may be lost.
const POLL: Duration = Duration::from_millis(200);

/// Hands over the pieces of a log, or of its last lines.
pub(super) async fn read(
    store: &Store,
    attempt: &AttemptRow,
    tail: Option<u64>,
    mut take: impl FnMut(&LogPiece) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let id = &attempt.claim.attempt;
    if let Some(lines) = tail {
        let pieces = store.logs().read(id, LogRange::Tail(lines)).await;
        return pieces.map_err(|error| from_store(&error))?.iter().try_for_each(take);
    }
    let mut seen = 0;
    while more(store, id, &mut seen, &mut take).await? {}
    Ok(())
}

/// Prints the log of a step until the run ends, each attempt after the one before it.
pub(super) async fn follow(app: &App, store: &Store, run: &RunId, step: &StepId) -> Outcome {
    let shape = if app.stdout.interactive { Shape::Clean } else { Shape::Raw };
    let mut done: Vec<AttemptId> = Vec::new();
    store.watch_others();
    let mut changes = store.changes_of(run);
    loop {
        changes.mark_unchanged();
        // Before the attempts: if the run has ended, the list of attempts is complete.
        let row = store.runs().get(run).await.map_err(|error| from_store(&error))?;
        let ended = row.is_none_or(|row| row.view.status.is_terminal());
        let attempts =
            store.attempts().list(run, Some(step)).await.map_err(|error| from_store(&error))?;
        let next = attempts.iter().find(|attempt| !done.contains(&attempt.claim.attempt));
        match next {
            Some(attempt) => {
                to_its_end(store, attempt, Writer::new(shape, attempt.into(), app), &mut changes)
                    .await?;
                done.push(attempt.claim.attempt.clone());
            }
            None if ended => return Ok(Exit::Ok),
            None => change(&mut changes).await,
        }
    }
}

async fn to_its_end(
    store: &Store,
    attempt: &AttemptRow,
    mut writer: Writer,
    changes: &mut watch::Receiver<u64>,
) -> Result<(), Failure> {
    let id = &attempt.claim.attempt;
    let mut seen = 0;
    loop {
        changes.mark_unchanged();
        let stat = store.logs().stat(id).await.map_err(|error| from_store(&error))?;
        let ended = stat.is_none_or(|stat| stat.ended);
        while more(store, id, &mut seen, &mut |piece| writer.take(piece)).await? {}
        if ended {
            writer.end()?;
            return Ok(());
        }
        change(changes).await;
    }
}

/// Waits for a change, and not much longer than that.
async fn change(changes: &mut watch::Receiver<u64>) {
    let _look_anyway = tokio::time::timeout(POLL, changes.changed()).await;
}

/// Hands over the next pieces; whether there were any.
async fn more(
    store: &Store,
    id: &AttemptId,
    seen: &mut u64,
    take: &mut impl FnMut(&LogPiece) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let pieces = store.logs().read(id, LogRange::After(*seen, PAGE)).await;
    let pieces = pieces.map_err(|error| from_store(&error))?;
    pieces.iter().try_for_each(take)?;
    *seen = pieces.last().map_or(*seen, |last| last.seq);
    Ok(!pieces.is_empty())
}
