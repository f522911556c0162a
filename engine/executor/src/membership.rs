//! This engine among those that share a database: it is registered before it takes a run, gives signs of
//! life, and buries engines that are dead.
//!
//! Dead is who gave no sign of life for a whole lease, measured by the watch of whoever buries it, which
//! starts anew after each break of its own: no two clocks are compared, and after an outage of the
//! database nobody is taken for dead for one lease. An engine of the same place is dead as soon as the
//! kernel has let go of its lock, however it died. Only used where a database is shared: see
//! [`crate::liveness`] for one machine.

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
    liveness::{RunLock, is_driven},
};

/// Signs of life in one lease.
const BEATS: u32 = 4;

/// This process as it is registered, or was.
#[derive(Debug, Default)]
pub(crate) struct Membership(Mutex<Option<Arc<Member>>>);

/// One registration. Whoever is buried gets another one.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// It was buried: what it drove is not its own any more.
    lost: watch::Receiver<bool>,
    /// The signs of life end with it.
    _alive: watch::Sender<()>,
}

/// What a registration is made with.
pub(crate) struct Registrar<'a> {
    pub(crate) store: &'a Store,
    pub(crate) clock: Clock,
    pub(crate) tasks: &'a Tasks,
    pub(crate) locks: &'a Path,
    pub(crate) lease: Duration,
    /// A fresh id.
    pub(crate) id: String,
}

/// The task that gives signs of life.
struct Beats {
    id: String,
    store: Store,
    clock: Clock,
    lease: Duration,
    place: String,
    locks: PathBuf,
    /// Tells the kernel that this process lives.
    lock: Option<RunLock>,
    /// The last sign of life.
    last: Mark,
    /// The signs of life of the others, and since when there were no more.
    others: HashMap<String, (u64, Mark)>,
    lost: watch::Sender<bool>,
}

// === impl Membership ===

impl Membership {
    /// The registration of this process; a new one if there is none that holds.
    pub(crate) async fn join(&self, registrar: Registrar<'_>) -> Result<Arc<Member>, Error> {
        let mut member = self.0.lock().await;
        if let Some(member) = member.as_ref().filter(|member| !member.is_lost()) {
            return Ok(member.clone());
        }
        let made = Arc::new(registrar.register().await?);
        *member = Some(made.clone());
        Ok(made)
    }

    /// Ends the registration in order.
    pub(crate) async fn leave(&self, store: &Store) -> Result<(), Error> {
        let member = self.0.lock().await.take();
        if let Some(member) = member {
            store.engine_end(&member.id).await?;
        }
        Ok(())
    }
}

// === impl Member ===

impl Member {
    /// Whether it was buried.
    pub(crate) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until it is buried.
    pub(crate) async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

// === impl Registrar ===

impl Registrar<'_> {
    async fn register(self) -> Result<Member, Error> {
        let Self { store, clock, tasks, locks, lease, id } = self;
        // Before the row: who finds the row must find the lock.
        let lock = RunLock::take(locks, &lock_of(&id)).ok();
        let place = if lock.is_some() { place(locks) } else { String::new() };
        store
            .engine_start(NewEngine {
                id: id.clone(),
                host: host(),
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                place: place.clone(),
                at: clock.now(),
            })
            .await?;
        let (lost_sender, lost) = watch::channel(false);
        let (alive, over) = watch::channel(());
        let mut beats = Beats {
            id: id.clone(),
            store: store.clone(),
            clock,
            lease,
            place,
            locks: locks.to_owned(),
            lock,
            last: clock.mark(),
            others: HashMap::new(),
            lost: lost_sender,
        };
        // Who died here before is buried before anything is taken: its runs are free at once.
        beats.bury_dead().await?;
        drop(tasks.spawn("signs of life", beats.give(over)));
        Ok(Member { id, lost, _alive: alive })
    }
}

// === impl Beats ===

impl Beats {
    async fn give(mut self, mut over: watch::Receiver<()>) {
        let pause = self.lease / BEATS;
        loop {
            tokio::select! {
                _ended = over.changed() => return,
                () = self.clock.sleep(pause) => {}
            }
            match self.beat().await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(engine = self.id, "this engine was taken for dead");
                    drop(self.lock.take());
                    self.lost.send_replace(true);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "no sign of life could be given");
                    self.others.clear();
                }
            }
        }
    }

    /// One sign of life, and a look at the others; `false`: this one was buried.
    async fn beat(&mut self) -> Result<bool, Error> {
        if !self.store.engine_seen(&self.id, self.clock.now()).await? {
            return Ok(false);
        }
        if self.clock.elapsed(self.last) > self.lease / 2 {
            // Paused, or without a database: others may have been as well.
            self.others.clear();
        }
        self.last = self.clock.mark();
        self.bury_dead().await?;
        Ok(true)
    }

    async fn bury_dead(&mut self) -> Result<(), Error> {
        let mut all = self.store.engines().await?;
        all.retain(|row| row.id != self.id);
        self.others.retain(|id, _| all.iter().any(|row| row.id == *id));
        for other in all {
            let buried = if self.is_known_dead(&other) {
                self.store.engine_end(&other.id).await?
            } else if self.is_silent(&other) {
                self.store.bury_engine(&other.id, other.beats).await?
            } else {
                false
            };
            if buried {
                let (engine, host, pid) = (other.id, other.host, other.pid);
                tracing::warn!(engine, host, pid, "a dead engine: others go on with its runs");
            }
        }
        Ok(())
    }

    /// Whether it was silent for a whole lease, as far as this engine has heard.
    fn is_silent(&mut self, other: &EngineRow) -> bool {
        let now = self.clock.mark();
        let (beats, since) = self.others.entry(other.id.clone()).or_insert((other.beats, now));
        if *beats != other.beats {
            (*beats, *since) = (other.beats, now);
        }
        self.clock.elapsed(*since) >= self.lease
    }

    fn is_known_dead(&self, other: &EngineRow) -> bool {
        let same = !other.place.is_empty() && other.place == self.place;
        same && !is_driven(&self.locks, &lock_of(&other.id))
    }
}

/// The lock of an engine, in the file of the locks of runs.
fn lock_of(engine: &str) -> RunId {
    RunId::new(format!("engine {engine}"))
}

/// Names the file of locks so that it is the same for whom the kernel tells the same. Empty if that
/// cannot be told.
fn place(locks: &Path) -> String {
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
