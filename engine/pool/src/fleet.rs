//! Runners of other machines: they dial in over a WebSocket and are leased by name, label or pool.
//!
//! The store decides which run has a runner ([`plue_store::handles::Runners::bind`]); here are only the connections of this
//! engine. A connection before its greeting costs a permit and a few KiB for five seconds. Must not hand a
//! runner to a run that its row is not bound to.

mod demand;
mod door;
mod remote;
mod watch;

use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use plue_plan::{RunId, RunnerId};
use plue_runtime::{Clock, Tasks, websocket::ByteStream};
use plue_store::{RunnerKind, RunnerRow, Store};
use plue_wire::runner::{CloseCode, Hello, WorkspaceSpec};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::{Semaphore, mpsc, watch as signal},
};

use self::{demand::Demand, remote::Remote};
pub use self::{demand::Selector, door::GreetingPermit};
use crate::{
    content::RunLimits,
    error::Error,
    lease::{COMMAND_QUEUE, EVENT_QUEUE, Lease},
    session::Connection,
};

/// Connections without a finished greeting at the same time.
const MAX_UNGREETED: usize = 256;
/// Runners with a connection to this engine.
const MAX_RUNNERS: usize = 16_384;
/// Connections of one runner that wait to be served; each supersedes the one before.
const MAX_ARRIVALS: usize = 4;
/// Sign of life within which a runner at another engine counts as there.
const FRESH: Duration = Duration::from_secs(45);

/// Any transport of a connection.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

type Socket = ByteStream<Box<dyn Transport>>;
type Link = Connection<ReadHalf<Socket>, WriteHalf<Socket>>;

/// A refusal of a greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Decides whether the runner comes back.
    pub code: CloseCode,
    /// The reason, for people.
    pub reason: String,
}

/// A future [`Admit::admit`].
pub type Admitting<'a> = Pin<Box<dyn Future<Output = Option<Result<(), Denied>>> + Send + 'a>>;

/// A way to prove that a process is the runner of a row, in addition to the credential whose hash is in it.
pub trait Admit: Debug + Send + Sync {
    /// Checks the proof in a greeting; `None`: it is not of this kind.
    fn admit<'a>(&'a self, row: &'a RunnerRow, hello: &'a Hello) -> Admitting<'a>;
}

/// The runners of other machines that are connected to this engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    clock: Clock,
    tasks: Tasks,
    options: FleetOptions,
    admits: Vec<Arc<dyn Admit>>,
    ungreeted: Arc<Semaphore>,
    slots: Mutex<HashMap<RunnerId, Slot>>,
    demand: Demand,
    /// Runners without a run are sent to other engines.
    closes: AtomicBool,
}

/// The tools of a fleet.
#[derive(Debug)]
pub struct FleetTools {
    /// Database of rows and runs.
    pub store: Store,
    /// Source of all times.
    pub clock: Clock,
    /// Owner of the tasks that serve connections.
    pub tasks: Tasks,
}

/// Bounds of a fleet.
#[derive(Debug, Clone, Copy)]
pub struct FleetOptions {
    /// Limits on the bytes of a run.
    pub limits: RunLimits,
    /// Time after which a runner that does not come back has lost its attempts.
    pub lost_after: Duration,
    /// Untrusted runs get pods of their own instead of the sandbox of this machine.
    pub serves_untrusted: bool,
}

/// A runner that this engine serves or waits for.
#[derive(Debug)]
struct Slot {
    /// Its row when it greeted.
    row: RunnerRow,
    arrivals: mpsc::Sender<Arrival>,
    newest: signal::Sender<u64>,
    /// The runner has announced its end.
    drains: signal::Receiver<bool>,
    /// The reason that its row is gone.
    gone: signal::Sender<Option<String>>,
    /// The lease of a runner without a run.
    idle: Option<Lease>,
}

/// A connection whose greeting was checked.
struct Arrival {
    link: Link,
    /// The hash of the row, which the checked proof stands for.
    hash: String,
    number: u64,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            limits: RunLimits::default(),
            lost_after: Duration::from_secs(300),
            serves_untrusted: false,
        }
    }
}

// === impl Fleet ===

impl Fleet {
    /// A fleet without a connection.
    #[must_use]
    pub fn new(options: FleetOptions, admits: Vec<Arc<dyn Admit>>, tools: FleetTools) -> Self {
        let FleetTools { store, clock, tasks } = tools;
        Self(Arc::new(Shared {
            store,
            clock,
            tasks,
            options,
            admits,
            ungreeted: Arc::new(Semaphore::new(MAX_UNGREETED)),
            slots: Mutex::default(),
            demand: Demand::default(),
            closes: AtomicBool::new(false),
        }))
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<RunnerId, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether untrusted runs get pods.
    #[must_use]
    pub fn serves_untrusted(&self) -> bool {
        self.0.options.serves_untrusted
    }

    /// Runs that wait for a runner here, by the names that they ask for.
    #[must_use]
    pub fn demand(&self) -> Vec<(Selector, usize)> {
        self.0.demand.by_selector()
    }

    /// Notes that a run waits, or that it does so no longer.
    pub fn note_wait(&self, run: &RunId, selector: Option<&Selector>) {
        self.0.demand.note(run, selector);
    }

    /// Binds a free runner to a run; `None` if there is none now. [`crate::PoolEvent::Ready`] follows when it
    /// has the files.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn lease(
        &self,
        run: &RunId,
        selector: &Selector,
        spec: &WorkspaceSpec,
    ) -> Result<Option<Lease>, Error> {
        while let Some(mut lease) = self.take_idle(selector) {
            if !lease.is_quiet() || lease.session().is_none() {
                // Its connection is ending.
                continue;
            }
            let runner = lease.runner.clone();
            if self.0.store.runners().bind(&runner, None, run).await? {
                lease.prepare(spec.clone()).await;
                return Ok(Some(lease));
            }
            // Bound by another engine, to which the watch of idle runners sends it.
            self.put_back(lease);
            return Ok(None);
        }
        match self.0.store.is_shared() {
            true => self.lease_elsewhere(run, selector, spec).await,
            false => Ok(None),
        }
    }

    /// Whether a lease for these names could succeed now.
    #[must_use]
    pub fn has_idle(&self, selector: &Selector) -> bool {
        self.slots().values().any(|slot| slot.is_leasable(selector))
    }

    /// The lease of a runner whose row is bound to the run: it comes back and has the files.
    #[must_use]
    pub fn adopt(&self, row: RunnerRow, run: &RunId) -> Lease {
        self.serve(row, None, Some(WorkspaceSpec { run: run.clone(), archive: None }))
    }

    fn take_idle(&self, selector: &Selector) -> Option<Lease> {
        let mut slots = self.slots();
        let slot = slots.values_mut().find(|slot| slot.is_leasable(selector))?;
        slot.idle.take()
    }

    fn put_back(&self, lease: Lease) {
        if let Some(slot) = self.slots().get_mut(&lease.runner) {
            slot.idle = Some(lease);
        }
    }

    /// Binds a runner that is connected to another engine, which then sends it here.
    async fn lease_elsewhere(
        &self,
        run: &RunId,
        selector: &Selector,
        spec: &WorkspaceSpec,
    ) -> Result<Option<Lease>, Error> {
        let now = self.0.clock.now();
        for row in self.0.store.runners().list(None).await? {
            let is_fresh = now.duration_since(row.seen_at).unsigned_abs() < FRESH;
            let is_free = row.state == plue_store::RunnerState::Ready && row.group.is_none();
            let is_here = self.slots().contains_key(&row.id);
            if is_here || !is_fresh || !is_free || !selector.matches(&row) {
                continue;
            }
            if self.0.store.runners().bind(&row.id, None, run).await? {
                return Ok(Some(self.serve(row, None, Some(spec.clone()))));
            }
        }
        Ok(None)
    }

    /// Starts to serve a runner, from this connection or from the next one on.
    fn serve(
        &self,
        row: RunnerRow,
        first: Option<Arrival>,
        workspace: Option<WorkspaceSpec>,
    ) -> Lease {
        let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
        let (arrivals, new_arrivals) = mpsc::channel(MAX_ARRIVALS);
        let newest = signal::Sender::new(0);
        let (drains, gone) = (signal::Sender::new(false), signal::Sender::new(None));
        let runner = row.id.clone();
        let slot = Slot {
            row,
            arrivals,
            newest: newest.clone(),
            drains: drains.subscribe(),
            gone: gone.clone(),
            idle: None,
        };
        let remote = Remote {
            fleet: self.clone(),
            runner: runner.clone(),
            newest: newest.subscribe(),
            drains,
            gone: gone.subscribe(),
            arrivals: new_arrivals,
            events,
            commands,
            workspace,
        };
        if let Some(first) = first {
            // The channel is new and has room.
            let _served_next = slot.arrivals.try_send(first);
        }
        self.slots().insert(runner.clone(), slot);
        self.0.tasks.spawn("runner", remote.run());
        // Not parked by a workspace, which is on another machine.
        Lease::new(runner, command_sender, event_receiver).for_one_run()
    }
}

// === impl Slot ===

impl Slot {
    fn is_leasable(&self, selector: &Selector) -> bool {
        self.idle.is_some() && !*self.drains.borrow() && selector.matches(&self.row)
    }
}

/// Whether the fleet serves such a runner.
fn is_remote(row: &RunnerRow) -> bool {
    match row.kind {
        RunnerKind::Pod | RunnerKind::Registered => true,
        RunnerKind::Process => false,
    }
}

impl Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival").field("number", &self.number).finish_non_exhaustive()
    }
}
