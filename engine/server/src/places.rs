//! Places of this machine: which runs get one next where the kernel knows who drives, and the disk, which
//! runs of forks must not fill.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plue_executor::{
    disk::{LowWater, Space},
    retention,
};
use plue_flow::{
    RunStatus,
    quotas::{self, Busy, Candidate},
};
use plue_plan::RunId;
use plue_runtime::{Phase, clock::Mark, metrics::names};
use plue_store::{RunRow, places::EnginePlaces};

use crate::{drive::Drivers, error::Error, server::Server};

/// Between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two notes of the bounds in the database, if nothing changes.
const NOTE_EVERY: Duration = Duration::from_secs(20);
/// Between two tries to free a disk that stays full.
const RELIEVE_EVERY: Duration = Duration::from_secs(10);
/// Runs with a request to cancel that are read at once.
const MAX_ENDING: u32 = 1_000;
/// Runs of each repository and pull request that are read beyond those that could get a place: some are
/// driven by other processes.
const SPARE: usize = 64;
/// The name of the one server of a database that only its machine has.
const ONLY_ENGINE: &str = "local";

/// Free space of the disk, in words, while it is nearly full.
#[derive(Debug, Default)]
pub(crate) struct DiskState(Mutex<Option<String>>);

// === impl DiskState ===

impl DiskState {
    /// The free space, in words, while runs of forks wait for more.
    pub(crate) fn low(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the state, and returns whether it crossed the mark.
    fn set(&self, low: Option<String>) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let crossed = held.is_some() != low.is_some();
        *held = low;
        crossed
    }
}

impl Server {
    /// The runs of this machine that get a place next.
    pub(crate) async fn next_of(&self, drivers: &Drivers) -> Result<Vec<RunRow>, Error> {
        let parts = self.parts();
        let of_each = parts.options.quotas.max_runs + drivers.len() + SPARE;
        let rows = self.store().oldest_unfinished(of_each).await?;
        let ending: HashSet<RunId> =
            self.store().cancelled_runs(MAX_ENDING).await?.into_iter().collect();
        let (mut busy, mut own) = (Busy::default(), 0);
        let mut waiting = Vec::with_capacity(rows.len());
        // One suspect at a time.
        let mut is_tried = rows.iter().any(|row| drivers.contains(&row.id) && row.is_suspect(true));
        for row in rows {
            let is_mine = drivers.contains(&row.id);
            // Also one that another process drives, or that runs in its parent's place.
            if is_mine || parts.engine.is_driven(&row.id) {
                if row.view.status != RunStatus::Waiting {
                    busy.add(&row.lane(), 1);
                    own += usize::from(is_mine);
                }
                continue;
            }
            if row.is_suspect(false) && std::mem::replace(&mut is_tried, true) {
                continue;
            }
            let is_cancelled = ending.contains(&row.id);
            waiting.push(Candidate { lane: row.lane(), is_cancelled, run: row });
        }
        let quotas = &parts.options.quotas;
        let room = quotas.max_runs.saturating_sub(own + parts.engine.children_in_slots());
        Ok(quotas::next(waiting, busy, quotas, room, self.disk().low().as_deref()))
    }

    /// Checks the disk regularly, and stores the bounds of this engine, which explain to users why
    /// a run waits.
    pub(crate) async fn watch_places(&self) {
        let (clock, stop) = (self.parts().clock, &self.parts().stop);
        let beat = self.parts().watchdog.watch("watch places");
        let (mut noted, mut relieved): (Option<Mark>, Option<Mark>) = (None, None);
        let is_due = |mark: Option<Mark>, every| mark.is_none_or(|at| clock.elapsed(at) >= every);
        while stop.phase() < Phase::Draining {
            // As long as the disk takes.
            beat.outside("look at the disk");
            let crossed = self.look_at_disk().await;
            if self.disk().low().is_some() && is_due(relieved, RELIEVE_EVERY) {
                self.relieve_disk().await;
                relieved = Some(clock.mark());
            }
            if crossed || is_due(noted, NOTE_EVERY) {
                match self.note_places().await {
                    Ok(()) => noted = Some(clock.mark()),
                    Err(error) => {
                        tracing::warn!(%error, "failed to note the places; retrying");
                    }
                }
            }
            beat.idle();
            tokio::select! {
                () = stop.reached(Phase::Draining) => return,
                () = clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Checks the disk, and returns whether it crossed its mark.
    async fn look_at_disk(&self) -> bool {
        let (space, low) = self.measured(self.parts().options.low_water).await;
        if space.is_none() && low.is_none() {
            return false;
        }
        if let Some(space) = space {
            names::DISK_FREE.set(space.free as f64, &[]);
        }
        names::DISK_LOW.set(if low.is_some() { 1.0 } else { 0.0 }, &[]);
        let crossed = self.disk().set(low.clone());
        match low {
            Some(state) if crossed => tracing::warn!(state, "disk nearly full; runs of forks wait"),
            None if crossed => tracing::info!("disk free again; runs of forks go on"),
            Some(_) | None => {}
        }
        crossed
    }

    /// The free space, and in words whether it is below a mark. Neither: the server stops. A disk may
    /// take long, so it is not asked on a thread that others need.
    async fn measured(&self, mark: LowWater) -> (Option<Space>, Option<String>) {
        let path = self.parts().options.state_dir.clone();
        let asked = self.parts().tasks.spawn_blocking(move || mark.reached(&path));
        asked.await.unwrap_or_default()
    }

    /// Frees the content and workspaces of ended runs of forks. If too little is free for that to
    /// help in time, the running ones are cancelled too: they may hold deleted files, which cannot
    /// be measured.
    async fn relieve_disk(&self) {
        let mark = self.parts().options.low_water;
        let half = LowWater {
            min_free_bytes: mark.min_free_bytes / 2,
            min_free_percent: mark.min_free_percent / 2,
        };
        if let (Some(_), Some(state)) = self.measured(half).await {
            let by = format!("plue: it is from a fork, and the disk is nearly full: {state}");
            match self.store().cancel_untrusted(&by).await {
                Ok(count) => {
                    tracing::warn!(count, state, "disk nearly full; runs of forks cancelled")
                }
                Err(error) => tracing::warn!(%error, "failed to cancel runs of forks; retrying"),
            }
        }
        retention::free_disk(self.store(), self.parts().clock.now()).await;
        if let Err(error) = self.drop_workspaces().await {
            tracing::warn!(%error, "failed to remove old workspaces; retrying");
        }
    }

    async fn note_places(&self) -> Result<(), Error> {
        let parts = self.parts();
        let engine = match self.store().is_shared() {
            true => parts.engine.id().await?,
            false => ONLY_ENGINE.to_owned(),
        };
        let places = EnginePlaces {
            engine,
            quotas: parts.options.quotas,
            low_disk: self.disk().low(),
            seen_at: parts.clock.now(),
        };
        Ok(self.store().put_places(&places).await?)
    }
}
