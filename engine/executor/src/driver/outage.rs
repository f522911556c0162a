//! The database does not answer, or somebody else has advanced the run: what is held in memory is given
//! up, and the run is taken up again from the store, as after a crash. The runner goes on meanwhile and
//! keeps what it has to say on its disk.
//!
//! So nothing is lost that was not committed, and nothing is done twice that was: there is one way to
//! take a run up, and no second one for outages.

use std::time::Duration;

use plue_flow::{Fact, Input};
use plue_runtime::{Phase, clock::Mark};

use super::{Control, Driver};
use crate::{batch::Incoming, error::Error, loaded::Loaded};

/// Pause before the store is asked again; doubled after each time in vain.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Times in a row that others may advance the run before we do.
const MAX_OVERTAKEN: u32 = 100;

/// What a driver remembers of its troubles; see the module.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Since when nothing was committed because the database does not answer.
    since: Option<Mark>,
    /// Times in a row that somebody else was faster.
    overtaken: u32,
    /// Requests to stop that were taken and are perhaps not committed.
    pub(super) asked: Vec<Input>,
    /// Requests to stop that are in the journal.
    cancels: usize,
}

// === impl Outage ===

impl Outage {
    /// A commit was made: the database answers.
    pub(super) fn is_over(&mut self, facts: &[Fact]) {
        self.since = None;
        self.overtaken = 0;
        self.asked.clear();
        self.cancels += cancels(facts);
    }

    /// Requests that are in the journal after all are no longer asked.
    pub(super) fn reread(&mut self, in_journal: usize) {
        let landed = in_journal.saturating_sub(self.cancels).min(self.asked.len());
        self.asked.drain(..landed);
        self.cancels = in_journal;
    }
}

/// Requests to stop among facts.
pub(super) fn cancels(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::CancelRequested { .. })).count()
}

/// What the database said, if it may answer again.
fn transient(error: &Error) -> Option<&plue_store::Error> {
    match error {
        Error::Store(error) | Error::Pool(plue_pool::Error::Store(error)) => {
            error.is_transient().then_some(error)
        }
        Error::UnknownRun(_)
        | Error::MissingPlan { .. }
        | Error::Corrupt { .. }
        | Error::Busy { .. }
        | Error::Overtaken { .. }
        | Error::Superseded { .. }
        | Error::SetAside { .. }
        | Error::Refused { .. }
        | Error::Conflict { .. }
        | Error::Pool(_)
        | Error::State { .. } => None,
    }
}

// === impl Driver: outages ===

impl Driver {
    /// Advances the run to its end, over outages of the database.
    pub(super) async fn advance(&mut self) -> Result<(), Error> {
        loop {
            let mut error = match self.advance_on().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // Until it can be read again, or it is too late.
            while let Err(again) = self.recover(error).await {
                if transient(&again).is_none() || self.is_too_late() {
                    return Err(again);
                }
                error = again;
            }
            if self.stop.phase() >= Phase::Aborting {
                return Ok(());
            }
        }
    }

    /// Lets go of everything, waits, and reads the run anew.
    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        if let Some(leased) = self.lease.take() {
            leased.lease.detach().await;
        }
        if let Error::Overtaken { .. } = &error {
            self.outage.overtaken += 1;
            if self.outage.overtaken > MAX_OVERTAKEN {
                return Err(error);
            }
        } else if let Some(said) = transient(&error) {
            let text = said.to_string();
            tracing::warn!(run = %self.row.id, error = text, "the database does not answer");
            self.tell(Some(text));
            self.outage.since.get_or_insert_with(|| self.shared.clock.mark());
            if self.is_too_late() {
                return Err(error);
            }
            self.pause().await;
        } else {
            return Err(error);
        }
        self.forget();
        if self.stop.phase() < Phase::Aborting {
            self.reload().await?;
            self.tell(None);
        }
        Ok(())
    }

    /// Waits if the error may pass; tells whether to try again.
    pub(super) async fn waits_for(&mut self, error: &plue_store::Error) -> bool {
        self.outage.since.get_or_insert_with(|| self.shared.clock.mark());
        if !error.is_transient() || self.is_too_late() || self.stop.phase() >= Phase::Aborting {
            return false;
        }
        self.pause().await;
        true
    }

    /// Tells whoever attends the run, once for each change.
    fn tell(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|told| {
            let is_news = told.is_some() != trouble.is_some();
            if is_news {
                *told = trouble;
            }
            is_news
        });
    }

    fn is_too_late(&self) -> bool {
        let patience = self.shared.options.patience;
        self.outage.since.is_some_and(|since| self.shared.clock.elapsed(since) >= patience)
    }

    /// Longer the longer it lasts; people are heard meanwhile.
    async fn pause(&mut self) {
        let clock = self.shared.clock;
        let lasted = self.outage.since.map_or(Duration::ZERO, |since| clock.elapsed(since));
        let pause = (lasted / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let over = clock.deadline(pause);
        loop {
            tokio::select! {
                () = self.stop.reached(Phase::Aborting) => return,
                Some(control) = self.control.recv() => self.outage.asked.push(requested(control)),
                () = over.reached() => return,
            }
        }
    }

    /// Everything that can be derived again from the store.
    fn forget(&mut self) {
        self.claims.clear();
        self.deferred.clear();
        self.unable.clear();
        self.prepared.clear();
        self.losses.forget_waiting();
        self.work.forget_finished();
        self.request_seen = None;
    }

    /// Reads the run anew after another process wrote to it or a commit was refused.
    pub(super) async fn reload(&mut self) -> Result<(), Error> {
        if !self.right.holds(&self.shared).await? {
            return Err(Error::Superseded { run: self.row.id.clone() });
        }
        let loaded = Loaded::read(&self.shared.store, &self.row.id).await?;
        self.outage.reread(loaded.cancels);
        (self.run, self.seq) = (loaded.run, loaded.seq);
        Ok(())
    }

    /// Takes a request to stop; it is asked again until it is in the journal.
    pub(super) fn take_request(&mut self, control: Control) -> Vec<Incoming> {
        let input = requested(control);
        self.outage.asked.push(input.clone());
        vec![Incoming::plain(input)]
    }
}

fn requested(control: Control) -> Input {
    match control {
        Control::Cancel { by, kill } => Input::Cancel { by, kill },
    }
}
