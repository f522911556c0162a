//! The registry of engines that share a database: an engine registers before it takes a run, sends
//! heartbeats, and expires engines that are dead.
//!
//! An engine is expired after one lease without a heartbeat, on the observer's monotonic clock. The
//! observation restarts after each interruption of the observer, so no two clocks are compared, and no
//! engine expires within one lease after an outage of the database. An engine with the same lock file is
//! expired as soon as the kernel has released its lock. On one machine [`crate::run_lock`] is enough.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use plue_plan::RunId;
use plue_runtime::{Clock, Tasks, clock::Mark};
use plue_store::{EngineRow, NewEngine, Store};
use tokio::sync::{Mutex, watch};

use crate::{
    error::Error,
    run_lock::{RunLock, is_driven},
};

/// Heartbeats in one lease.
const BEATS: u32 = 4;

/// The registration of this process, if it has one.
#[derive(Debug, Default)]
pub(crate) struct EngineRegistry(Mutex<Option<Arc<Registration>>>);

/// One registration; an expired engine gets another one.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: String,
    /// Once true, the engine has lost the leases of its runs.
    expired: watch::Receiver<bool>,
    /// Heartbeats end when this is dropped.
    _alive: watch::Sender<()>,
}

/// A registration to be made.
pub(crate) struct NewRegistration<'a> {
    pub(crate) store: &'a Store,
    pub(crate) clock: Clock,
    pub(crate) tasks: &'a Tasks,
    pub(crate) locks: &'a Path,
    pub(crate) lease: Duration,
    /// Fresh: an expired id is not used again.
    pub(crate) id: String,
}

/// The task that sends heartbeats and expires others.
struct Heartbeat {
    id: String,
    store: Store,
    clock: Clock,
    lease: Duration,
    /// See [`lock_file_id`].
    lock_file: String,
    locks: PathBuf,
    /// Released by the kernel when this process dies.
    lock: Option<RunLock>,
    last: Mark,
    others: HashMap<String, Observed>,
    expired: watch::Sender<bool>,
}

/// The last change in the heartbeats of another engine.
struct Observed {
    beats: u64,
    since: Mark,
}

// === impl EngineRegistry ===

impl EngineRegistry {
    /// The registration of this process; a new one if it is missing or expired.
    pub(crate) async fn join(&self, new: NewRegistration<'_>) -> Result<Arc<Registration>, Error> {
        let mut current = self.0.lock().await;
        if let Some(current) = current.as_ref().filter(|current| !current.is_expired()) {
            return Ok(current.clone());
        }
        let registration = Arc::new(new.register().await?);
        *current = Some(registration.clone());
        Ok(registration)
    }

    /// Removes the registration, so that the runs of this engine are free at once.
    pub(crate) async fn leave(&self, store: &Store) -> Result<(), Error> {
        let current = self.0.lock().await.take();
        if let Some(current) = current {
            store.engines().end(&current.id).await?;
        }
        Ok(())
    }
}

// === impl Registration ===

impl Registration {
    pub(crate) fn is_expired(&self) -> bool {
        *self.expired.borrow()
    }

    /// Waits until it is expired.
    pub(crate) async fn expired(&self) {
        let mut expired = self.expired.clone();
        if expired.wait_for(|expired| *expired).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

// === impl NewRegistration ===

impl NewRegistration<'_> {
    async fn register(self) -> Result<Registration, Error> {
        let Self { store, clock, tasks, locks, lease, id } = self;
        // Taken first: other engines that find the row must find the lock.
        let lock = RunLock::take(locks, &lock_of(&id)).ok();
        let lock_file = if lock.is_some() { lock_file_id(locks) } else { String::new() };
        store
            .engines()
            .start(NewEngine {
                id: id.clone(),
                host: host(),
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                place: lock_file.clone(),
                at: clock.now(),
            })
            .await?;
        let (expired_sender, expired) = watch::channel(false);
        let (alive, over) = watch::channel(());
        let mut heartbeat = Heartbeat {
            id: id.clone(),
            store: store.clone(),
            clock,
            lease,
            lock_file,
            locks: locks.to_owned(),
            lock,
            last: clock.mark(),
            others: HashMap::new(),
            expired: expired_sender,
        };
        // Engines that died on this machine expire before any run is taken: their runs are free at once.
        heartbeat.expire_dead().await?;
        drop(tasks.spawn("heartbeat", heartbeat.send_all(over)));
        Ok(Registration { id, expired, _alive: alive })
    }
}

// === impl Heartbeat ===

impl Heartbeat {
    async fn send_all(mut self, mut over: watch::Receiver<()>) {
        let pause = self.lease / BEATS;
        loop {
            tokio::select! {
                _ended = over.changed() => return,
                () = self.clock.sleep(pause) => {}
            }
            match self.send().await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(
                        engine = self.id,
                        "this engine has expired; its runs go to others"
                    );
                    drop(self.lock.take());
                    self.expired.send_replace(true);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "failed to send a heartbeat; retrying");
                    self.others.clear();
                }
            }
        }
    }

    /// Sends one heartbeat, and observes the others; `false`: this engine has expired.
    async fn send(&mut self) -> Result<bool, Error> {
        if !self.store.engines().seen(&self.id, self.clock.now()).await? {
            return Ok(false);
        }
        if self.clock.elapsed(self.last) > self.lease / 2 {
            // This engine was paused or without a database; others may have been as well.
            self.others.clear();
        }
        self.last = self.clock.mark();
        self.expire_dead().await?;
        Ok(true)
    }

    async fn expire_dead(&mut self) -> Result<(), Error> {
        let mut all = self.store.engines().list().await?;
        all.retain(|row| row.id != self.id);
        self.others.retain(|id, _| all.iter().any(|row| row.id == *id));
        for other in all {
            let is_expired = if self.is_known_dead(&other) {
                self.store.engines().end(&other.id).await?
            } else if self.is_silent(&other) {
                self.store.engines().expire(&other.id, other.beats).await?
            } else {
                false
            };
            if is_expired {
                let (engine, host, pid) = (other.id, other.host, other.pid);
                tracing::warn!(
                    engine,
                    host,
                    pid,
                    "an engine has expired; others go on with its runs"
                );
            }
        }
        Ok(())
    }

    /// Whether this engine has observed no heartbeat of the other for a whole lease.
    fn is_silent(&mut self, other: &EngineRow) -> bool {
        let current = Observed { beats: other.beats, since: self.clock.mark() };
        let observed = self.others.entry(other.id.clone()).or_insert(current);
        if observed.beats != other.beats {
            *observed = Observed { beats: other.beats, since: self.clock.mark() };
        }
        self.clock.elapsed(observed.since) >= self.lease
    }

    /// Whether the kernel has released the lock of an engine with the same lock file.
    fn is_known_dead(&self, other: &EngineRow) -> bool {
        let same = !other.place.is_empty() && other.place == self.lock_file;
        same && !is_driven(&self.locks, &lock_of(&other.id))
    }
}

/// The key of an engine's lock, in the lock file of runs.
fn lock_of(engine: &str) -> RunId {
    RunId::new(format!("engine {engine}"))
}

/// An id of the lock file, equal for processes that share it under one kernel; empty if it is unreadable.
fn lock_file_id(locks: &Path) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let (Ok(boot), Ok(file)) = (boot, std::fs::metadata(locks)) else {
        return String::new();
    };
    format!("{}/{}/{}", boot.trim(), file.dev(), file.ino())
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
