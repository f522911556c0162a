//! Detects stalled loops.
//!
//! A loop reports its turns and names its current stage; one that is in the same stage for
//! [`STALL`] has stalled. Waiting for work is no stage: an idle loop counts as turned. A stage that
//! waits for something outside, such as a forge, has a bound of its own and is not judged here.
//! Other tasks name their stages as well. They are never judged, but are listed when a loop stalls,
//! because one of them mostly holds the resource that the loop waits for.
//!
//! A stall is computed on request, and a thread of its own logs it: neither needs the runtime,
//! which may be the stalled part.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use crate::clock::{Clock, Mark};

/// Time in one stage after which a loop has stalled.
pub const STALL: Duration = Duration::from_secs(10);
/// Between two looks of the thread that logs.
const LOOK: Duration = Duration::from_secs(1);
/// Tasks that are logged of a stall, the longest in their stage first.
const MAX_LISTED: usize = 32;

/// Knows every loop and task that has registered. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watchdog(Arc<Shared>);

/// A registered loop or task; forgotten when this is dropped.
#[derive(Debug)]
pub struct Beat {
    shared: Arc<Shared>,
    id: u64,
}

/// A loop that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The name of the loop.
    pub name: &'static str,
    /// The stage that it is in.
    pub stage: &'static str,
    /// The time that it has been in this stage.
    pub lasted: Duration,
}

/// Logs stalls until it is dropped.
#[derive(Debug)]
pub struct Patrol {
    _ends: mpsc::SyncSender<()>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    all: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    kind: Kind,
    /// None: it waits for work.
    stage: Option<&'static str>,
    /// The stage waits for something outside, which bounds it.
    outside: bool,
    since: Mark,
    logged: bool,
}

#[derive(Debug)]
enum Kind {
    /// Stalls if it does not turn within [`STALL`].
    Loop,
    /// Is only listed; about this.
    Task(String),
}

// === impl Watchdog ===

impl Watchdog {
    /// A watchdog that knows nothing yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, entries: Mutex::default() }))
    }

    /// Registers a loop, idle.
    #[must_use]
    pub fn watch(&self, name: &'static str) -> Beat {
        self.register(name, Kind::Loop)
    }

    /// Registers a task about something, such as a run.
    #[must_use]
    pub fn task(&self, name: &'static str, subject: impl Into<String>) -> Beat {
        self.register(name, Kind::Task(subject.into()))
    }

    /// The loops that stand still now.
    #[must_use]
    pub fn stalled(&self) -> Vec<Stall> {
        let entries = self.0.entries();
        entries.all.values().filter_map(|entry| entry.stall(self.0.clock)).collect()
    }

    /// Starts the thread that logs stalls and their ends.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn patrol(&self) -> std::io::Result<Patrol> {
        let (ends, over) = mpsc::sync_channel(0);
        let watchdog = self.clone();
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            while over.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                watchdog.look();
            }
        })?;
        Ok(Patrol { _ends: ends })
    }

    /// Logs what has stalled, and what turns again, since the last look; how many loops have stalled since.
    pub fn look(&self) -> usize {
        let clock = self.0.clock;
        let mut entries = self.0.entries();
        let mut news = 0;
        for entry in entries.all.values_mut() {
            match entry.stall(clock) {
                Some(Stall { name, stage, lasted }) if !entry.logged => {
                    entry.logged = true;
                    news += 1;
                    let seconds = lasted.as_secs();
                    tracing::error!(name, stage, seconds, "a loop of the server stands still");
                }
                None if entry.logged => {
                    entry.logged = false;
                    tracing::warn!(name = entry.name, "a loop of the server turns again");
                }
                Some(_) | None => {}
            }
        }
        if news > 0 {
            entries.list(clock);
        }
        news
    }

    fn register(&self, name: &'static str, kind: Kind) -> Beat {
        let mut entries = self.0.entries();
        let id = entries.next;
        entries.next += 1;
        let since = self.0.clock.mark();
        let entry = Entry { name, kind, stage: None, outside: false, since, logged: false };
        entries.all.insert(id, entry);
        Beat { shared: self.0.clone(), id }
    }
}

// === impl Beat ===

impl Beat {
    /// Enters a stage. Entering the same stage again counts as a turn.
    pub fn stage(&self, stage: &'static str) {
        self.set(Some(stage), false);
    }

    /// Enters a stage that waits for something outside, such as a forge, and is bounded by it.
    pub fn outside(&self, stage: &'static str) {
        self.set(Some(stage), true);
    }

    /// Waits for work from now on.
    pub fn idle(&self) {
        self.set(None, false);
    }

    fn set(&self, stage: Option<&'static str>, outside: bool) {
        let since = self.shared.clock.mark();
        if let Some(entry) = self.shared.entries().all.get_mut(&self.id) {
            (entry.stage, entry.outside, entry.since) = (stage, outside, since);
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.shared.entries().all.remove(&self.id);
    }
}

// === impl Shared ===

impl Shared {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entries ===

impl Entries {
    /// Logs the stage of each task.
    fn list(&self, clock: Clock) {
        let mut tasks: Vec<_> = self.all.values().filter_map(Entry::task).collect();
        tasks.sort_by_key(|(.., since)| *since);
        for (task, subject, stage, since) in tasks.iter().take(MAX_LISTED) {
            let seconds = clock.elapsed(*since).as_secs();
            tracing::warn!(task, subject, stage, seconds, "waits meanwhile");
        }
        if let Some(more) = tasks.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
            tracing::warn!(tasks = more, "wait as well");
        }
    }
}

// === impl Entry ===

impl Entry {
    fn stall(&self, clock: Clock) -> Option<Stall> {
        let is_judged = matches!(self.kind, Kind::Loop) && !self.outside;
        let stage = self.stage.filter(|_| is_judged)?;
        let lasted = clock.elapsed(self.since);
        (lasted >= STALL).then_some(Stall { name: self.name, stage, lasted })
    }

    /// Its name, its subject and its stage, and since when it is in it.
    fn task(&self) -> Option<(&'static str, &str, &'static str, Mark)> {
        match &self.kind {
            Kind::Loop => None,
            Kind::Task(subject) => Some((self.name, subject, self.stage?, self.since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog() -> (Watchdog, Clock) {
        let clock = Clock::simulated(jiff::Timestamp::UNIX_EPOCH);
        (Watchdog::new(clock), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn loops_that_stay_in_one_stage_stall() {
        let (watchdog, clock) = watchdog();
        let beat = watchdog.watch("driver");
        beat.stage("claim runs");
        clock.sleep(STALL - Duration::from_millis(1)).await;
        assert_eq!((watchdog.stalled(), watchdog.look()), (Vec::new(), 0));
        clock.sleep(Duration::from_millis(1)).await;
        let stall = Stall { name: "driver", stage: "claim runs", lasted: STALL };
        assert_eq!(watchdog.stalled(), [stall]);
        assert_eq!([watchdog.look(), watchdog.look()], [1, 0], "each stall is logged once");
        beat.stage("claim runs");
        assert_eq!(watchdog.stalled(), []);
        clock.sleep(STALL).await;
        watchdog.look();
        drop(beat);
        assert_eq!(watchdog.stalled(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_loops_and_slow_tasks_do_not_stall() {
        let (watchdog, clock) = watchdog();
        let (beat, task) = (watchdog.watch("driver"), watchdog.task("run", "01J"));
        beat.stage("claim runs");
        beat.idle();
        task.stage("unseal secrets");
        let intake = watchdog.watch("intake");
        intake.outside("fetch");
        clock.sleep(STALL * 100).await;
        assert_eq!((watchdog.stalled(), watchdog.look()), (Vec::new(), 0));
    }
}
