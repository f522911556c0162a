//! The driver of one run: its owners, and the loop that composes them.
//!
//! - [`ledger`](ledger::Ledger): the folded journal and the commits to it.
//! - [`runners`](runners::Runners): the leased runner, its attempts and sessions.
//! - [`steps`](steps::EngineSteps) and [`agents`](agents::Agents): work inside the engine.
//! - [`pass`](pass::Pass): one pass over them, inputs → decide → commit → effects.
//!
//! Owners communicate by values: the state of the run is passed in, inputs are returned. The driver is
//! level-triggered: all it holds in memory can be derived from the store again, so a driver that dies is
//! replaced by [`Driver::start`] on the same run.

use std::sync::Arc;

use plue_flow::{Input, RunStatus};
use plue_plan::{Event, RunId};
use plue_runtime::{Stop, Task, clock::Mark};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    child_slots::{ChildSlot, SiblingSlots},
    driver_lease::{DriverLease, release_later},
    engine::Shared,
    error::Error,
    loaded::Loaded,
    perform::{
        environment::{GivenSecrets, SecretSource},
        scope::RunInputs,
    },
};

use agents::Agents;
use context::{DriveMode, RunContext};
use ledger::{Journal, Ledger};
use monotonic_clock::MonotonicClock;
use outage::Outage;
use runners::Runners;
use steps::EngineSteps;
use usage::RunUsage;

pub(crate) use steps::call_child::{AgentChildren, ChildOfCall};

mod agents;
pub(crate) mod concurrency;
pub(crate) mod context;
mod drive;
mod intake;
mod ledger;
mod monotonic_clock;
mod outage;
mod pass;
mod runners;
mod steps;
mod usage;

/// Requests in flight to one driver.
const CONTROL_QUEUE: usize = 16;

/// A request to a running driver.
#[derive(Debug)]
pub(crate) enum Control {
    /// A request to stop the run.
    Cancel {
        /// The author of the request.
        by: String,
        kill: bool,
    },
}

/// A run that is driven by this engine.
#[derive(Debug)]
pub struct RunHandle {
    /// Id of the run.
    pub run: RunId,
    control: mpsc::Sender<Control>,
    trouble: watch::Receiver<Option<String>>,
    done: JoinHandle<Result<RunStatus, Error>>,
}

/// Stops a run that is driven by this engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Canceller(mpsc::Sender<Control>);

/// The options of one driver.
pub(crate) struct DriverOptions {
    /// Applied before any other input.
    pub(crate) first: Option<Input>,
    pub(crate) secrets: Arc<dyn SecretSource>,
    pub(crate) stop: Stop,
    pub(crate) mode: DriveMode,
    /// The engine drives the run without a current request of a user.
    pub(crate) is_automatic: bool,
    /// The lease of the run, if it was taken before.
    pub(crate) lease: Option<Arc<DriverLease>>,
    /// The slot of a child run.
    pub(crate) slot: Option<ChildSlot>,
}

pub(crate) struct Driver {
    context: Arc<RunContext>,
    ledger: Ledger,
    runners: Runners,
    steps: EngineSteps,
    agents: Agents,
    outage: Outage,
    usage: RunUsage,
    control: mpsc::Receiver<Control>,
    first: Option<Input>,
    /// The last look for requests of other processes.
    polled: Mark,
    /// The last heartbeat of the run in its concurrency group.
    group_seen: Mark,
    /// The slot of a child run, until it waits for answers from outside.
    slot: Option<ChildSlot>,
}

// === impl DriverOptions ===

impl DriverOptions {
    /// Drives a run to its end at the request of a user.
    pub(crate) fn new(secrets: Arc<dyn SecretSource>, stop: Stop) -> Self {
        let (first, lease, slot) = (None, None, None);
        let mode = DriveMode::default();
        Self { first, secrets, stop, mode, is_automatic: false, lease, slot }
    }

    /// The same, but leaves the run as soon as it only waits for answers from outside.
    pub(crate) fn until_waiting(mut self) -> Self {
        self.mode.leave_when_waiting = true;
        self
    }

    /// The same, but commits inputs only; the next driver performs their effects.
    pub(crate) fn commit_only(mut self) -> Self {
        self.mode.commit_only = true;
        self
    }
}

// === impl RunHandle ===

impl RunHandle {
    /// A handle to stop the run.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller(self.control.clone())
    }

    /// The error of the database while it does not answer and the run waits for it; `None` otherwise.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    /// Whether the driver has stopped; [`RunHandle::wait`] returns its result.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.done.is_finished()
    }

    /// Waits until the run ends, or until the driver was stopped.
    ///
    /// # Errors
    /// The reason why the driver stopped early; the run is safe in the store.
    pub async fn wait(mut self) -> Result<RunStatus, Error> {
        self.ended().await
    }

    /// [`RunHandle::wait`] for `select!`. Cancel-safe; must not be called again after it has returned.
    ///
    /// # Errors
    /// As [`RunHandle::wait`].
    pub async fn ended(&mut self) -> Result<RunStatus, Error> {
        (&mut self.done).await.unwrap_or_else(|failure| {
            let message = format!("its driver stopped: {failure}");
            Err(Error::Corrupt { run: self.run.clone(), message })
        })
    }
}

// === impl Canceller ===

impl Canceller {
    /// Asks for the run to stop: TERM, grace, KILL; with `kill` without grace.
    pub async fn cancel(&self, by: &str, kill: bool) {
        let _already_over = self.0.send(Control::Cancel { by: by.to_owned(), kill }).await;
    }
}

// === impl Driver ===

impl Driver {
    /// Takes the lease of a run, unless `options` has it, and drives the run in a task.
    ///
    /// # Errors
    /// The run cannot be read, rejects the first input, or another live engine drives it.
    pub(crate) async fn start(
        shared: Arc<Shared>,
        run: &RunId,
        mut options: DriverOptions,
    ) -> Result<RunHandle, Error> {
        let stop = options.stop.clone();
        let lease = match options.lease.take() {
            Some(lease) => lease,
            None => Arc::new(DriverLease::take(&shared, run).await?),
        };
        let (control_sender, control) = mpsc::channel(CONTROL_QUEUE);
        let made = match Self::load_marked(&shared, run, &options, &lease).await {
            Ok(loaded) => Self::new(shared.clone(), lease.clone(), loaded, options, control),
            Err(error) => Err(error),
        };
        let driver = match made {
            Ok(driver) => driver,
            Err(error) => {
                release_later(lease, &shared, stop);
                return Err(error);
            }
        };
        let trouble = driver.outage.subscribe();
        let driven = shared.tasks.owned("driver", driver.drive());
        let guarded = guarded(driven, run.clone(), lease, shared.clone(), stop);
        let done = shared.tasks.spawn("driver's guard", guarded);
        Ok(RunHandle { run: run.clone(), control: control_sender, trouble, done })
    }

    /// Sets the crash mark of the run, then reads it: reading may be what kills the engine.
    async fn load_marked(
        shared: &Shared,
        run: &RunId,
        options: &DriverOptions,
        lease: &DriverLease,
    ) -> Result<Loaded, Error> {
        let is_automatic = options.is_automatic;
        if is_automatic && !lease.is_shared() && !shared.store.drives().begin(run).await? {
            return Err(Error::SetAside { run: run.clone() });
        }
        let loaded = Loaded::read(&shared.store, run).await?;
        if let Some(first) = &options.first {
            let refused = |why: plue_flow::Rejected| Error::Refused {
                run: run.clone(),
                message: why.to_string(),
            };
            loaded.run.decide(shared.clock.now(), first).map_err(refused)?;
        }
        if !is_automatic && loaded.row.deaths > 0 {
            shared.store.drives().revive(run).await?;
        }
        Ok(loaded)
    }

    fn new(
        shared: Arc<Shared>,
        lease: Arc<DriverLease>,
        loaded: Loaded,
        options: DriverOptions,
        control: mpsc::Receiver<Control>,
    ) -> Result<Self, Error> {
        let Loaded { row, source, origin, plan, run, seq, cancels, last } = loaded;
        let corrupt = |error: serde_json::Error| Error::Corrupt {
            run: row.id.clone(),
            message: error.to_string(),
        };
        let event: Event = serde_json::from_value(source.event.clone()).map_err(corrupt)?;
        let origin = origin.relocated(shared.options.workspaces.root.as_deref());
        let mut mode = options.mode;
        mode.commit_only |= shared.options.driving.commit_only;
        // Runs of untrusted commits never receive secrets.
        let secrets: Arc<dyn SecretSource> = match origin.is_from_fork(&event) {
            true => Arc::new(GivenSecrets::default()),
            false => options.secrets,
        };
        let now = shared.clock.mark();
        let slots = SiblingSlots::new();
        let time = MonotonicClock::new(shared.clock, last);
        let context = Arc::new(RunContext {
            shared,
            plan,
            event,
            event_json: source.event.to_string(),
            inputs: RunInputs { inputs: source.inputs, event: source.event },
            origin,
            source: source.source,
            secrets,
            stop: options.stop,
            mode,
            time,
            row,
        });
        let journal = Journal { run, seq, cancels };
        Ok(Self {
            ledger: Ledger::new(context.clone(), lease, journal, options.is_automatic),
            runners: Runners::new(context.clone()),
            steps: EngineSteps::new(context.clone(), slots.clone()),
            agents: Agents::new(context.clone(), slots),
            outage: Outage::new(),
            usage: RunUsage::default(),
            control,
            first: options.first,
            polled: now,
            group_seen: now,
            slot: options.slot,
            context,
        })
    }
}

/// Waits for a driver; releases its lease if it panics.
async fn guarded(
    mut driver: Task<Result<RunStatus, Error>>,
    run: RunId,
    lease: Arc<DriverLease>,
    shared: Arc<Shared>,
    stop: Stop,
) -> Result<RunStatus, Error> {
    match driver.ended().await {
        Ok(driven) => driven,
        Err(failure) => {
            release_later(lease, &shared, stop);
            Err(Error::Corrupt { run, message: format!("its driver failed: {failure}") })
        }
    }
}
