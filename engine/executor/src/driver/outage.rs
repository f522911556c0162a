//! Outages: if the database does not answer, or another driver has advanced the run, the driver drops its
//! state and recovers the run from the store, as after a crash. The runner goes on and keeps its reports
//! on its disk.
//!
//! Recovery is the only way back, so nothing uncommitted is lost and nothing committed is repeated.

use std::time::Duration;

use plue_runtime::{Clock, clock::Mark};
use tokio::sync::watch;

use crate::error::Error;

/// The shortest pause before the store is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Times in a row that others may advance the run first.
const MAX_OVERTAKEN: u32 = 100;

/// The failures of a driver since its last commit.
#[derive(Debug)]
pub(crate) struct Outage {
    /// Start of the time without an answer of the database.
    since: Option<Mark>,
    overtaken: u32,
    /// The error of the database, while it does not answer.
    trouble: watch::Sender<Option<String>>,
}

// === impl Outage ===

impl Outage {
    pub(crate) fn new() -> Self {
        Self { since: None, overtaken: 0, trouble: watch::Sender::new(None) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// A commit succeeded: the database answers.
    pub(crate) fn end(&mut self) {
        self.since = None;
        self.overtaken = 0;
    }

    /// Another driver was faster. `false`: too often in a row.
    pub(crate) fn overtaken(&mut self) -> bool {
        self.overtaken += 1;
        self.overtaken <= MAX_OVERTAKEN
    }

    pub(crate) fn begin(&mut self, clock: Clock) {
        self.since.get_or_insert_with(|| clock.mark());
    }

    /// Whether the outage has lasted for the whole patience.
    pub(crate) fn is_too_late(&self, clock: Clock, patience: Duration) -> bool {
        self.since.is_some_and(|since| clock.elapsed(since) >= patience)
    }

    /// The pause before the next try: half of the outage so far.
    pub(crate) fn pause(&self, clock: Clock) -> Duration {
        let lasted = self.since.map_or(Duration::ZERO, |since| clock.elapsed(since));
        (lasted / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
    }

    /// Reports the error of the database to [`RunHandle::trouble`](super::RunHandle::trouble), once for
    /// each change.
    pub(crate) fn report(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|reported| {
            let is_change = reported.is_some() != trouble.is_some();
            if is_change {
                *reported = trouble;
            }
            is_change
        });
    }
}

/// The error of the database, if it may answer again.
pub(crate) fn transient(error: &Error) -> Option<&plue_store::Error> {
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
