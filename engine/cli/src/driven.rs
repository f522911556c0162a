//! The display of a run that this process drives: its log lines and the ends of its steps, from the store,
//! without the API in between. A flood of output costs the driver no JSON.
//!
//! Live and afterwards are the same query: rows after a cursor. Wake-ups only make it prompt.

use std::{collections::HashMap, io::Write, time::Duration};

use jiff::Timestamp;
use plue_api::{explain::turn_of, records::StepRecord};
use plue_flow::{AttemptStatus, RunStatus, StepStatus, fact::Reason};
use plue_plan::{AttemptId, RunId, StepId};
use plue_runtime::Clock;
use plue_store::{AttemptRow, Error, LogRange, LogStream, RunRow, StepRow, Store};

use crate::render::{
    live::{Live, Running},
    narrator::Narrator,
    words,
};

/// Between two looks at the store; a flood of changes is shown in this rhythm.
const RHYTHM: Duration = Duration::from_millis(50);
/// The display may take one part in so many of a core, as long as its rhythm stays below the longest.
const SHARE: u32 = 5;
const LONGEST: Duration = Duration::from_secs(1);
/// Without a wake-up of this process the store is looked at this often: others may write to it.
const POLL: Duration = Duration::from_millis(250);
/// Bytes read from one attempt's log at once.
const PAGE: u64 = 1024 * 1024;

/// The reason that following ended early.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] Error),
    /// The output is closed by its reader, or its disk is full.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

/// The display of a run, with the parts shown so far.
pub struct Display<'a, W> {
    store: &'a Store,
    run: RunId,
    live: Live<W>,
    clock: Clock,
    /// Index of each step in the plan.
    places: HashMap<StepId, usize>,
    /// Bytes shown of each attempt's log.
    shown: HashMap<AttemptId, u64>,
    narrator: Narrator,
    /// Obstacle of a queued run at the last look.
    turn: Option<String>,
    /// Obstacle that was printed last.
    printed_turn: Option<String>,
    /// Whether it waits for an unavailable database without limit.
    is_patient: bool,
}

// === impl Display ===

impl<'a, W: Write> Display<'a, W> {
    /// A follower that has shown nothing yet. `order`: the steps as the plan has them.
    pub fn new(store: &'a Store, run: RunId, live: Live<W>, order: Vec<StepId>) -> Self {
        let clock = Clock::real();
        let places = order.into_iter().zip(0..).collect();
        let (shown, narrator) = (HashMap::new(), Narrator::default());
        let (turn, printed_turn) = (None, None);
        Self {
            store,
            run,
            live,
            clock,
            places,
            shown,
            narrator,
            turn,
            printed_turn,
            is_patient: false,
        }
    }

    /// Waits for a database that does not answer, however long it takes.
    pub fn patient(self) -> Self {
        Self { is_patient: true, ..self }
    }

    /// Passes over what is there already: a run that goes on is shown from there.
    ///
    /// # Errors
    /// The database.
    pub async fn skip_past(&mut self) -> Result<(), Error> {
        for attempt in self.store.attempts().list(&self.run, None).await? {
            self.shown.insert(attempt.claim.attempt, attempt.log_bytes);
        }
        for row in self.store.runs().steps(&self.run).await? {
            self.narrator.skip(&StepRecord::of(&row));
        }
        Ok(())
    }

    /// Shows everything until the run ends; gives its status. Cancel-safe: nothing is shown twice
    /// after a cancelled call.
    ///
    /// # Errors
    /// The database, or the output.
    pub async fn until_end(&mut self) -> Result<RunStatus, FollowError> {
        let mut changes = self.store.changes_of(&self.run);
        loop {
            changes.borrow_and_update();
            let started = self.clock.mark();
            match self.look().await {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(FollowError::Store(error)) if self.is_patient && error.is_transient() => {
                    self.clock.sleep(POLL).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let took = self.clock.elapsed(started);
            let mark = self.clock.mark();
            let woken = tokio::time::timeout(POLL, changes.changed()).await;
            if woken.is_ok() {
                // Several times as long as showing took: a plan of thousands of steps shall not be
                // kept from running by its display.
                let rhythm = RHYTHM.max((took * SHARE).min(LONGEST));
                let early = rhythm.saturating_sub(self.clock.elapsed(mark));
                self.clock.sleep(early).await;
            }
        }
    }

    /// Shows what is new; gives the status if the run has ended and everything was shown.
    async fn look(&mut self) -> Result<Option<RunStatus>, FollowError> {
        // The status first: if it is terminal, everything shown after it is complete.
        let row = self.store.runs().get(&self.run).await?;
        let status = row.as_ref().map(|row| row.view.status);
        self.show().await?;
        if let Some(row) = row {
            self.print_turn(&row).await?;
        }
        match status {
            None => Ok(Some(RunStatus::Cancelled)),
            Some(status) if status.is_terminal() => {
                self.live.erase()?;
                Ok(Some(status))
            }
            Some(_) => Ok(None),
        }
    }

    /// Prints, once, the run that a queued one waits for. At the second look: a run ahead that no engine
    /// drives loses its turn in between.
    async fn print_turn(&mut self, row: &RunRow) -> Result<(), FollowError> {
        if row.view.status != RunStatus::Queued {
            return Ok(());
        }
        let turn = turn_of(self.store, row).await?.map(|waits| waits.words);
        let is_new = turn.is_some() && turn == self.turn && turn != self.printed_turn;
        self.turn = turn;
        if is_new {
            self.printed_turn = self.turn.clone();
            self.live.run(self.turn.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Shows what is new once more; the run goes on another time.
    ///
    /// # Errors
    /// The database. A closed output is ignored at the end.
    pub async fn show_now(&mut self) -> Result<(), Error> {
        match self.show().await {
            Ok(()) | Err(FollowError::Output(_)) => {}
            Err(FollowError::Store(error)) => return Err(error),
        }
        let _closed_is_no_matter = self.live.erase();
        Ok(())
    }

    /// Shows what is new, in the order in which steps ended; what has not ended comes last.
    async fn show(&mut self) -> Result<(), FollowError> {
        let steps = self.store.runs().steps(&self.run).await?;
        let attempts = self.store.attempts().list(&self.run, None).await?;
        let mut rows = steps;
        let mut by_step: HashMap<StepId, Vec<AttemptRow>> = HashMap::new();
        for attempt in attempts {
            by_step.entry(attempt.step.clone()).or_default().push(attempt);
        }
        rows.sort_by_cached_key(|row| {
            let place = self.places.get(&row.view.step).copied();
            (row.view.ended_at.unwrap_or(Timestamp::MAX), place)
        });
        let now = self.clock.now();
        let mut running = Vec::new();
        for row in &rows {
            let view = &row.view;
            for attempt in by_step.get(&view.step).into_iter().flatten() {
                self.log_of(attempt).await?;
            }
            if let (StepStatus::Running, Some(since)) = (view.status, view.started_at) {
                let elapsed = words::duration(since, now);
                running.push(Running { step: view.step.to_string(), elapsed });
            }
            self.print_step(row)?;
        }
        let ended = rows.iter().filter(|row| row.view.status.is_terminal()).count();
        let summary = format!("  {ended} of {} steps ended, {} running", rows.len(), running.len());
        self.live.draw(&running, &summary)?;
        Ok(())
    }

    async fn log_of(&mut self, attempt: &AttemptRow) -> Result<(), FollowError> {
        let quiet = matches!(attempt.state, AttemptStatus::Queued | AttemptStatus::Assigned);
        let id = &attempt.claim.attempt;
        let mut from = self.shown.get(id).copied().unwrap_or(0);
        if quiet || from >= attempt.log_bytes {
            return Ok(());
        }
        if from == 0 {
            self.live.flush(attempt.step.as_str())?;
        }
        loop {
            let pieces = self.store.logs().read(id, LogRange::Bytes(from..from + PAGE)).await?;
            let Some(last) = pieces.last() else { return Ok(()) };
            from = last.end();
            self.shown.insert(id.clone(), from);
            for piece in pieces {
                match piece.stream {
                    LogStream::Stdout | LogStream::Stderr => {
                        self.live.log(attempt.step.as_str(), &piece.bytes)?;
                    }
                    LogStream::Gap | LogStream::Note => {}
                }
            }
            if from >= attempt.log_bytes {
                return Ok(());
            }
        }
    }

    /// Prints the state of a step, once.
    fn print_step(&mut self, row: &StepRow) -> Result<(), FollowError> {
        let (view, record) = (&row.view, StepRecord::of(row));
        let lacks_runner = matches!(view.reason, Some(Reason::NoRunner { .. }));
        if view.status == StepStatus::Queued && lacks_runner && self.narrator.is_new(&record) {
            let words = record.reason.as_deref().unwrap_or_default();
            self.live.note(view.status, view.step.as_str(), words)?;
        }
        let answer = || words::how_to_answer(&self.run, view);
        Ok(self.narrator.narrate(&mut self.live, &record, answer)?)
    }
}
