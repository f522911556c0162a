//! Runs that were in hand when their engine died.
//!
//! Before an engine drives a run by itself it notes that it has the run in hand, and takes the note back
//! once the run proves harmless. A note that outlives its engine is a death. After [`MAX_DEATHS`] of them
//! in a row, without an attempt that ended in between, the run is set aside: no engine drives it
//! until a user requests it. The columns `in_hand` and `deaths` do the same for any other row.

use plue_plan::RunId;

use crate::{
    changes::Shards,
    error::Error,
    handles::Drives,
    op::Op,
    run::RunRow,
    sql::{Arg, Statement, Tx},
};

/// Deaths in a row after which a run is set aside.
pub const MAX_DEATHS: u32 = 3;
/// Deaths in a row from which on a run is tried alone: whatever else is in hand then is not to blame.
pub const SUSPECT_DEATHS: u32 = MAX_DEATHS - 1;

/// Runs that are not set aside.
pub(crate) const NOT_SET_ASIDE: &str = "deaths < 3";

struct TakeInHand(RunId);

struct LetGo {
    run: RunId,
    /// Of the drive, on a shared database.
    fence: Option<u64>,
}

struct Revive(RunId);

impl Drives<'_> {
    /// Notes that this machine's engine has a run in hand; `false`: the run is set aside. Only for a caller
    /// that holds the run's lock: a note that is there already is a death.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn begin(self, run: &RunId) -> Result<bool, Error> {
        self.store.write(TakeInHand(run.clone())).await
    }

    /// Takes the note back: the run has proved harmless, or was left in order.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end(self, run: &RunId, fence: Option<u64>) -> Result<(), Error> {
        self.store.write(LetGo { run: run.clone(), fence }).await
    }

    /// Resets the deaths of a run that a user has requested.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn revive(self, run: &RunId) -> Result<(), Error> {
        self.store.write(Revive(run.clone())).await
    }
}

// === impl RunRow ===

impl RunRow {
    /// Whether no engine drives it by itself any more.
    #[must_use]
    pub fn is_set_aside(&self) -> bool {
        self.deaths >= MAX_DEATHS && !self.view.status.is_terminal()
    }

    /// Whether it is to be tried alone. `is_driven`: an engine that lives has it in hand; otherwise that
    /// engine is dead.
    #[must_use]
    pub fn is_suspect(&self, is_driven: bool) -> bool {
        let died = u32::from(self.in_hand && !is_driven);
        self.deaths + died >= SUSPECT_DEATHS && (self.in_hand || !is_driven)
    }
}

impl Op for TakeInHand {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let id = self.0.as_str();
        let text = "SELECT deaths + in_hand FROM run WHERE id = $1";
        let row = tx.fetch_optional(Statement::new(text, vec![id.into()])).await?;
        let deaths = row.map_or(Ok(0), |row| row.small(0))?;
        let is_taken = deaths < MAX_DEATHS;
        let text = "UPDATE run SET deaths = $2, in_hand = $3 WHERE id = $1";
        let args = vec![id.into(), deaths.into(), u32::from(is_taken).into()];
        tx.write(Statement::new(text, args));
        Ok(is_taken)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for LetGo {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let mut args = vec![self.run.as_str().into()];
        let mut text = "UPDATE run SET deaths = 0, in_hand = 0 WHERE id = $1".to_owned();
        if let Some(fence) = self.fence {
            text.push_str(" AND drive_fence = $2");
            args.push(Arg::count(fence));
        }
        tx.write(Statement::new(text, args));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Revive {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "UPDATE run SET deaths = 0 WHERE id = $1";
        tx.write(Statement::new(text, vec![self.0.as_str().into()]));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::of(&self.0)
    }
}
