//! Runs that nobody advances are advanced here, so many at a time; those that a dead engine left behind
//! as well. Repositories are served in turn, and the runs of each oldest first.
//!
//! Where several engines share the database they take runs from it, and the database sees to it that
//! nobody gets what another one has. On one machine it is the kernel that knows who drives.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use plue_executor::{RunHandle, Taken};
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Phase;
use plue_store::RunRow;

use crate::{error::Error, server::Server};

/// A run that could not be driven is left alone for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

type Driving<'s> = Pin<Box<dyn Future<Output = RunId> + Send + 's>>;

impl Server {
    /// Drives runs until the server stops, then waits for those that it drives.
    pub(crate) async fn drive_runs(&self) {
        let parts = self.parts();
        let mut changes = self.store().changes();
        let mut driven: HashSet<RunId> = HashSet::new();
        let mut ends: FuturesUnordered<Driving<'_>> = FuturesUnordered::new();
        loop {
            changes.borrow_and_update();
            // Asked once a round: were it asked again below, a stop between the two would leave
            // nothing to wait for.
            let running = parts.stop.phase() == Phase::Running;
            if running {
                for (run, driving) in self.next_runs(&driven).await {
                    driven.insert(run);
                    ends.push(driving);
                }
            } else if ends.is_empty() {
                return;
            }
            tokio::select! {
                Some(run) = ends.next(), if !ends.is_empty() => drop(driven.remove(&run)),
                more = self.rest(&mut changes), if running => {
                    let _stops = more;
                }
            }
        }
    }

    /// What is to be driven now.
    async fn next_runs(&self, driven: &HashSet<RunId>) -> Vec<(RunId, Driving<'_>)> {
        if self.store().is_shared() {
            let taken = self.taken().await.into_iter();
            return taken.map(|one| (one.row.id.clone(), self.drive_taken(one).boxed())).collect();
        }
        let waiting = self.waiting(driven).await.into_iter();
        waiting.map(|row| (row.id.clone(), self.drive_one(row).boxed())).collect()
    }

    /// Runs that this engine has taken from the database.
    async fn taken(&self) -> Vec<Taken> {
        let options = &self.parts().options;
        match self.parts().engine.take(options.max_runs, options.max_runs_per_repo).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "runs wait");
                Vec::new()
            }
        }
    }

    /// Runs that nobody on this machine drives and whose turn it is.
    async fn waiting(&self, driven: &HashSet<RunId>) -> Vec<RunRow> {
        let parts = self.parts();
        let rows = match self.store().unfinished_runs().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "runs wait");
                return Vec::new();
            }
        };
        let bounds = (parts.options.max_runs, parts.options.max_runs_per_repo);
        let (mine, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| driven.contains(&row.id));
        let busy: Vec<_> =
            mine.iter().filter(|row| row.view.status != RunStatus::Waiting).collect();
        let next = in_turn(others, &busy, bounds);
        next.into_iter().filter(|row| !parts.engine.is_driven(&row.id)).collect()
    }

    async fn drive_one(&self, row: RunRow) -> RunId {
        if let Err(error) = self.driven_to_its_end(&row).await {
            // It stays where the store says it is, and is not looked at again at once: what kept it
            // from going on will mostly still be so.
            tracing::warn!(run = %row.id, %error, "the run waits");
            let parts = self.parts();
            tokio::select! {
                () = parts.stop.reached(Phase::Draining) => {}
                () = parts.clock.sleep(AGAIN_AFTER) => {}
            }
        }
        row.id
    }

    async fn driven_to_its_end(&self, row: &RunRow) -> Result<(), Error> {
        let parts = self.parts();
        let secrets = self.secrets_of(row).await?;
        let handle = parts.engine.drive(&row.id, secrets, parts.stop.clone()).await?;
        handle.wait().await?;
        Ok(())
    }

    async fn drive_taken(&self, taken: Taken) -> RunId {
        let (run, parts) = (taken.row.id.clone(), self.parts());
        let ready = async {
            self.place(&taken).await?;
            self.secrets_of(&taken.row).await
        };
        let driven = match ready.await {
            Ok(_) if parts.stop.phase() >= Phase::Draining => {
                parts.engine.give_back(taken, &parts.stop, false).await;
                return run;
            }
            Ok(secrets) => {
                let handle = parts.engine.drive_taken(taken, secrets, parts.stop.clone());
                match handle.await.map(RunHandle::wait) {
                    Ok(end) => end.await.map(drop).map_err(Error::from),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => {
                parts.engine.give_back(taken, &parts.stop, true).await;
                Err(error)
            }
        };
        match driven {
            Ok(()) => {}
            Err(Error::Executor(error @ plue_executor::Error::Superseded { .. })) => {
                tracing::warn!(%run, %error, "left");
            }
            Err(error) => tracing::warn!(%run, %error, "the run waits"),
        }
        run
    }
}

/// The runs that are begun next: the oldest of each repository in turn, as many as there is room for.
fn in_turn(
    rows: Vec<RunRow>,
    busy: &[&RunRow],
    (max, per_repo): (usize, Option<usize>),
) -> Vec<RunRow> {
    let room = max.saturating_sub(busy.len());
    let mut runs: HashMap<Option<String>, usize> = HashMap::new();
    for row in busy {
        *runs.entry(row.repo.clone()).or_default() += 1;
    }
    let mut turns: Vec<(usize, RunRow)> = Vec::with_capacity(rows.len());
    for row in rows {
        let turn = runs.entry(row.repo.clone()).or_default();
        *turn += 1;
        if per_repo.is_none_or(|most| *turn <= most) {
            turns.push((*turn, row));
        }
    }
    // Stable: within a turn the oldest first.
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().take(room).map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plue_flow::RunView;
    use plue_plan::PlanHash;

    use super::*;

    fn row(id: &str, repo: &str) -> RunRow {
        let view =
            RunView { status: RunStatus::Queued, reason: None, started_at: None, ended_at: None };
        RunRow {
            id: RunId::new(id),
            workflow: "w".to_owned(),
            plan: format!("sha256:{}", "0".repeat(64)).parse::<PlanHash>().unwrap(),
            repo: Some(repo.to_owned()),
            sha: None,
            branch: None,
            view,
            seq: 1,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn chosen(
        rows: &[(&str, &str)],
        busy: &[&RunRow],
        bounds: (usize, Option<usize>),
    ) -> Vec<String> {
        let rows = rows.iter().map(|(id, repo)| row(id, repo)).collect();
        in_turn(rows, busy, bounds).into_iter().map(|row| row.id.to_string()).collect()
    }

    #[test]
    fn many_runs_of_one_repository_do_not_hold_back_those_of_another() {
        let rows = [("1", "a"), ("2", "a"), ("3", "a"), ("4", "b"), ("5", "b")];
        assert_eq!(chosen(&rows, &[], (4, None)), ["1", "4", "2", "5"]);
        let busy = row("0", "b");
        assert_eq!(chosen(&rows, &[&busy], (4, None)), ["1", "2", "4"]);
    }

    #[test]
    fn a_repository_has_no_more_runs_than_its_quota() {
        let rows = [("1", "a"), ("2", "a"), ("3", "a"), ("4", "b")];
        let busy = row("0", "a");
        assert_eq!(chosen(&rows, &[&busy], (16, Some(2))), ["4", "1"]);
    }
}
