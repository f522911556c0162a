//! The engine: drives runs, and holds what their drivers share.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use plue_flow::{Input, input::Reopen, quotas::Quotas};
use plue_plan::{RunId, StepId};
use plue_pool::{
    Isolation, LocalPool,
    fleet::Fleet,
    local::{POOL, UNTRUSTED_POOL},
};
use plue_runtime::{Clock, Ids, Stop, Tasks, clock::Mark};
use plue_store::{Drive, DriveRequest, RunRow, RunnerKind, Store};

use crate::{
    child_slots::ChildSlots,
    claude::Claude,
    driver::{Driver, DriverOptions, RunHandle},
    driver_lease::{DriverLease, release_later},
    engine_registry::EngineRegistry,
    error::Error,
    loaded::{MAX_UNTRUSTED, Origin},
    perform::{
        capacity::Capacity,
        checkpoint::{self, OnConflict, RestoreFor, Restored},
        child::Workflows,
        environment::SecretSource,
        forge::ForgeWriter,
    },
    reach::Guard,
    run_lock::{self, RunLock},
    trace::Traces,
};

/// The shortest time between two searches for runners of dead engines, while runs are driven.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Options of an engine, set by the operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// The lock file of runs.
    pub locks_dir: PathBuf,
    /// Limits of single attempts.
    pub attempts: AttemptOptions,
    /// Timing and hand-over of drivers.
    pub driving: DrivingOptions,
    /// Workspaces and their checkpoints.
    pub workspaces: WorkspaceOptions,
    /// Resources of the runners, for steps that request them.
    pub capacity: Capacity,
    /// Concurrent runs of a server; child runs count as well.
    pub quotas: Option<Quotas>,
    /// Addresses that `call` steps and webhooks may reach besides public ones.
    pub calls: Guard,
    /// Plans workflows by name, for child runs; without it, only plans that steps emit can run.
    pub workflows: Option<Arc<dyn Workflows>>,
    /// Traces of runs; steps receive their `traceparent`.
    pub traces: Option<Traces>,
    /// Settings of Claude steps; without them there are none, without a key only those of replays.
    pub claude: Option<Claude>,
}

/// Limits of attempts that plans do not set.
#[derive(Debug, Clone, Copy)]
pub struct AttemptOptions {
    /// Time between TERM and KILL of a step.
    pub grace: Duration,
    /// Bytes of log stored per attempt.
    pub log_cap_bytes: u64,
    /// Longest duration of a fork's run and of each of its steps; caps the plan's timeouts.
    pub untrusted_timeout: Duration,
}

/// Timing and hand-over of drivers.
#[derive(Debug, Clone, Copy)]
pub struct DrivingOptions {
    /// Interval at which a driver polls for requests of other processes (`plue cancel`).
    pub control_poll: Duration,
    /// Time for which a driver waits for a database that does not answer before it gives up.
    pub patience: Duration,
    /// Time without a heartbeat after which an engine of a shared database is expired.
    pub lease: Duration,
    /// While draining, runs of a shared database are left to other engines between two steps.
    pub hand_over: bool,
    /// Commit the inputs of a run ([`Engine::reopen`]), and leave driving to other engines.
    pub commit_only: bool,
}

/// Content that the workspaces of runs get.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceOptions {
    /// The folder of a server's workspaces on this machine, wherever the server had it that made a run.
    pub root: Option<PathBuf>,
    /// Whether changes of steps in the workspace are stored, for `plue retry`.
    pub checkpoints: bool,
}

// === impl Options ===

impl Options {
    /// The defaults, with this lock file.
    #[must_use]
    pub fn new(locks_dir: PathBuf) -> Self {
        Self {
            locks_dir,
            attempts: AttemptOptions {
                grace: Duration::from_secs(10),
                log_cap_bytes: 100 * 1024 * 1024,
                untrusted_timeout: MAX_UNTRUSTED,
            },
            driving: DrivingOptions {
                control_poll: Duration::from_millis(200),
                patience: Duration::from_secs(15 * 60),
                lease: Duration::from_secs(15),
                hand_over: false,
                commit_only: false,
            },
            workspaces: WorkspaceOptions { root: None, checkpoints: true },
            capacity: Capacity::of_this_machine(),
            quotas: None,
            calls: Guard::default(),
            workflows: None,
            traces: None,
            claude: None,
        }
    }
}

/// A run whose lease this engine has taken.
#[derive(Debug)]
pub struct Taken {
    /// The row of the run.
    pub row: RunRow,
    lease: Arc<DriverLease>,
}

/// Advances runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

/// The parts that drivers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) pool: LocalPool,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) tasks: Tasks,
    /// The registration of this engine on a shared database.
    pub(crate) registry: EngineRegistry,
    pub(crate) child_slots: ChildSlots,
    /// Writer of `forge` steps; without one they show the change that they propose.
    pub(crate) forge: OnceLock<Arc<dyn ForgeWriter>>,
    /// Time of this engine's last search for work of expired engines.
    tidied: Mutex<Option<Mark>>,
}

/// The parts of an engine.
#[derive(Debug)]
pub struct Parts {
    /// Journals, claims and outputs of runs.
    pub store: Store,
    /// Leases runners to the drivers.
    pub pool: LocalPool,
    /// Clock of the engine, simulated in tests.
    pub clock: Clock,
    /// Source of fresh ids and tokens.
    pub ids: Ids,
    /// Supervises the tasks of drivers.
    pub tasks: Tasks,
}

// === impl Taken ===

impl Taken {
    /// The row of the lease, for writes outside of the journal.
    #[must_use]
    pub fn drive(&self) -> Option<&Drive> {
        self.lease.drive()
    }
}

// === impl Shared ===

impl Shared {
    /// The reason that no step of a run may start here, for people; `None`: steps may start.
    pub(crate) async fn isolation_refusal(&self, origin: &Origin) -> Option<String> {
        if !origin.untrusted {
            let why = self.pool.missing_isolation(&origin.workspace).await?;
            return Some(format!("runs only in a sandbox (pools.local.mode is required): {why}"));
        }
        let why = match self.pool.untrusted_isolation().await {
            Isolation::Ready(_) => return None,
            Isolation::Off => "pools.untrusted.mode is off".to_owned(),
            Isolation::Missing(why) => why,
        };
        Some(format!("is from a fork and runs only in the pool `untrusted`: {why}"))
    }
}

// === impl Engine ===

impl Engine {
    /// An engine that drives no run yet.
    #[must_use]
    pub fn new(options: Options, parts: Parts) -> Self {
        Self(Arc::new(Shared {
            child_slots: ChildSlots::new(options.quotas),
            options,
            store: parts.store,
            pool: parts.pool,
            clock: parts.clock,
            ids: parts.ids,
            tasks: parts.tasks,
            registry: EngineRegistry::default(),
            forge: OnceLock::new(),
            tidied: Mutex::new(None),
        }))
    }

    /// Sets the writer of `forge` steps; a later one is ignored.
    pub fn write_to_forges(&self, writer: Arc<dyn ForgeWriter>) {
        let _has_one = self.0.forge.set(writer);
    }

    /// Whether untrusted runs can be isolated on this machine.
    pub async fn untrusted_isolation(&self) -> Isolation {
        self.0.pool.untrusted_isolation().await
    }

    /// Whether trusted runs are isolated as well.
    pub async fn own_isolation(&self) -> Isolation {
        self.0.pool.own_isolation().await
    }

    /// The store that this engine was made with.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The runners of other machines; `None`: this engine serves none.
    #[must_use]
    pub fn fleet(&self) -> Option<&Fleet> {
        self.0.pool.fleet()
    }

    /// Starts an idle runner for a run in this workspace that will be driven here soon; with `python` for
    /// Python steps. [`Engine::close`] ends it if it stays unused.
    ///
    /// # Errors
    /// [`Error::Pool`].
    pub async fn warm(&self, workspace: &Path, python: bool) -> Result<(), Error> {
        Ok(self.0.pool.warm(workspace, &self.0.ids, python).await?)
    }

    /// Ends idle runners, and removes the registration of this engine.
    pub async fn close(&self) {
        if let Err(error) = self.0.registry.leave(&self.0.store).await {
            tracing::warn!(%error, "failed to remove the registration of this engine; it expires");
        }
        if let Err(error) = self.0.pool.close().await {
            tracing::warn!(%error, "failed to end idle runners; the next engine does");
        }
    }

    /// Number of child runs of this engine in slots of their own.
    #[must_use]
    pub fn children_in_slots(&self) -> usize {
        self.0.child_slots.occupied()
    }

    /// Whether a live process drives the run.
    #[must_use]
    pub fn is_driven(&self, run: &RunId) -> bool {
        run_lock::is_driven(&self.0.options.locks_dir, run)
    }

    /// Drives a run until it ends. A run that another engine has left is recovered from the store.
    ///
    /// # Errors
    /// The run does not exist, cannot be read, or another live engine drives it.
    pub async fn drive(
        &self,
        run: &RunId,
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<RunHandle, Error> {
        self.tidy_at_times().await?;
        let options = DriverOptions::new(secrets, stop);
        Driver::start(self.0.clone(), run, options).await
    }

    /// [`Engine::drive`] without a user's request. Only on one machine.
    ///
    /// # Errors
    /// As [`Engine::drive`]; [`Error::SetAside`].
    pub async fn drive_unasked(
        &self,
        run: &RunId,
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<RunHandle, Error> {
        self.tidy_at_times().await?;
        let options = DriverOptions { is_automatic: true, ..DriverOptions::new(secrets, stop) };
        Driver::start(self.0.clone(), run, options).await
    }

    /// Takes the leases of undriven runs within the quotas, on a shared database. `low_disk`: the free
    /// space, for people, if the disk is too full for runs of forks. Each run must be driven
    /// ([`Engine::drive_taken`]) or given back ([`Engine::give_back`]).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn take(
        &self,
        quotas: Quotas,
        low_disk: Option<String>,
    ) -> Result<Vec<Taken>, Error> {
        let engine = self.0.registration().await?;
        if !self.0.store.drives().has_undriven().await? {
            return Ok(Vec::new());
        }
        let children = self.children_in_slots();
        let request = DriveRequest { engine: engine.id.clone(), quotas, children, low_disk };
        // None: the registration has just expired; the next call makes a new one.
        let taken = self.0.store.drives().take_all(request).await?.unwrap_or_default();
        let lease = |drive| Arc::new(DriverLease::of_drive(&self.0, drive, engine.clone()));
        Ok(taken.into_iter().map(|(row, drive)| Taken { row, lease: lease(drive) }).collect())
    }

    /// Drives a run whose lease was taken.
    ///
    /// # Errors
    /// As [`Engine::drive`].
    pub async fn drive_taken(
        &self,
        taken: Taken,
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<RunHandle, Error> {
        if let Err(error) = self.tidy_at_times().await {
            release_later(taken.lease, &self.0, stop);
            return Err(error);
        }
        let (is_automatic, lease) = (true, Some(taken.lease));
        let options = DriverOptions { is_automatic, lease, ..DriverOptions::new(secrets, stop) };
        Driver::start(self.0.clone(), &taken.row.id, options).await
    }

    /// Releases the lease of a run that cannot be driven here; with `rest` after a pause.
    pub async fn give_back(&self, taken: Taken, stop: &Stop, rest: bool) {
        if rest {
            release_later(taken.lease, &self.0, stop.clone());
        } else {
            taken.lease.release(&self.0, stop).await;
        }
    }

    /// Releases the lease of a run whose task failed.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn abandon(&self, run: &RunId) -> Result<(), Error> {
        if self.0.store.is_shared() {
            let engine = self.0.registration().await?;
            self.0.store.drives().abandon(run, &engine.id).await?;
        }
        Ok(())
    }

    /// Whether this engine still has the lease, as far as the store knows.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn holds(&self, taken: &Taken) -> Result<bool, Error> {
        taken.lease.is_unschedulable(&self.0).await
    }

    /// The id of this engine in the registry of a shared database.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn id(&self) -> Result<String, Error> {
        Ok(self.0.registration().await?.id.clone())
    }

    /// Drives a run until it ends or only waits for answers from outside; then the runner is released, and
    /// the handle returns [`plue_flow::RunStatus::Waiting`].
    ///
    /// # Errors
    /// As [`Engine::drive`].
    pub async fn drive_until_asked(
        &self,
        run: &RunId,
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<RunHandle, Error> {
        self.tidy_at_times().await?;
        let options = DriverOptions::new(secrets, stop).until_waiting();
        Driver::start(self.0.clone(), run, options).await
    }

    /// [`Engine::tidy`], at most once per [`TIDY_EVERY`]: with many runs the search itself is expensive.
    async fn tidy_at_times(&self) -> Result<(), Error> {
        let clock = self.0.clock;
        {
            let mut last = self.0.tidied.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|mark| clock.elapsed(mark) < TIDY_EVERY) {
                return Ok(());
            }
            *last = Some(clock.mark());
        }
        self.tidy().await
    }

    /// Ends runners of ended runs, left by an engine that died between the end of a run and the release of
    /// its runner. Starting a driver does this first, at most once a second.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn tidy(&self) -> Result<(), Error> {
        let shared = &self.0;
        for runner in shared.store.runners().list(None).await? {
            if runner.kind == RunnerKind::Process && !is_local(&runner.pool) {
                continue;
            }
            let is_over = match &runner.group {
                Some(run) => {
                    let row = shared.store.runs().get(run).await?;
                    row.is_none_or(|row| row.view.status.is_terminal())
                }
                None => false,
            };
            let is_led = match runner.kind {
                // Without a run it is the fleet's, or its pool manager's.
                RunnerKind::Pod | RunnerKind::Registered => !is_over,
                RunnerKind::Process => shared.pool.is_led(&runner, is_over),
            };
            // A live engine leads it, with a run or idle.
            if is_led {
                continue;
            }
            let Some(run) = runner.group else {
                shared.pool.discard(&runner.id).await;
                let reason = "its engine is gone";
                shared.store.runners().gone(&runner.id, reason, shared.clock.now()).await?;
                continue;
            };
            if !is_over {
                continue;
            }
            // Its driver is about to release it.
            if shared.store.is_shared() && shared.store.drives().driver_of(&run).await?.is_some() {
                continue;
            }
            let Ok(_lock) = RunLock::take(&shared.options.locks_dir, &run) else { continue };
            shared.pool.discard(&runner.id).await;
            let reason = "its run is over";
            shared.store.runners().gone(&runner.id, reason, shared.clock.now()).await?;
        }
        Ok(())
    }

    /// Restores the files of an ended run to their state before the steps that [`Engine::reopen`] would run
    /// again; without `from` to their state before the run, for another run. `aside` is a folder for copies:
    /// of files that are overwritten by force, and without `from` of all files.
    ///
    /// # Errors
    /// As [`Engine::reopen`]; [`Error::Conflict`].
    pub async fn restore(
        &self,
        run: &RunId,
        from: Option<&Reopen>,
        (on_conflict, aside): (OnConflict, &Path),
    ) -> Result<Restored, Error> {
        let shared = &self.0;
        // Runners of ended runs may still write to the files.
        self.tidy().await?;
        let lease = DriverLease::take(shared, run).await?;
        let restored = self.restore_leased(run, from, (on_conflict, aside)).await;
        lease.release(shared, &Stop::never()).await;
        restored
    }

    /// Applies the changes of a run's steps to a folder with the files that the run started from, for a run
    /// whose workspace was on a lost machine. `false`: the changes are unknown, and the folder is unusable.
    ///
    /// # Errors
    /// [`Error::Store`]; a file cannot be written.
    pub async fn rebuild(&self, run: &RunId, workspace: &Path) -> Result<bool, Error> {
        let Shared { options, store, .. } = &*self.0;
        Ok(options.workspaces.checkpoints && checkpoint::rebuild(store, run, workspace).await?)
    }

    async fn restore_leased(
        &self,
        run: &RunId,
        from: Option<&Reopen>,
        (on_conflict, aside): (OnConflict, &Path),
    ) -> Result<Restored, Error> {
        let shared = &self.0;
        let loaded = crate::loaded::Loaded::read(&shared.store, run).await?;
        let refused = |why: plue_flow::Rejected| Error::Refused {
            run: run.clone(),
            message: why.to_string(),
        };
        let (again, restore_for) = match from {
            Some(from) => {
                let again = reopened(&loaded.run, from, shared.clock.now());
                (again.map_err(refused)?, RestoreFor::SameRun)
            }
            None => {
                let all = loaded.plan.all_steps().map(|step| step.id.clone()).collect();
                (all, RestoreFor::OtherRun)
            }
        };
        let origin = loaded.origin.relocated(shared.options.workspaces.root.as_deref());
        let workspace = (&shared.store, origin.workspace.as_path());
        checkpoint::restore(workspace, (run, &again, restore_for), (on_conflict, aside)).await
    }

    /// True if changes of steps in workspaces are stored, so that they can be put back.
    #[must_use]
    pub fn keeps_checkpoints(&self) -> bool {
        self.0.options.workspaces.checkpoints
    }

    /// The time of this engine.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.0.clock.now()
    }

    /// Reopens an ended run (`plue retry`) without driving it: it is queued like any other.
    ///
    /// # Errors
    /// As [`Engine::reopen`].
    pub async fn reopen_queued(
        &self,
        run: &RunId,
        request: (&str, Reopen),
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<(), Error> {
        self.tidy().await?;
        let (by, from) = request;
        let first = Some(Input::Reopen { by: by.to_owned(), from });
        let options = DriverOptions { first, ..DriverOptions::new(secrets, stop) }.commit_only();
        Driver::start(self.0.clone(), run, options).await?.wait().await.map(drop)
    }

    /// Reopens an ended run (`plue retry`) and drives it.
    ///
    /// # Errors
    /// As [`Engine::drive`]; also if the run has not ended or has no such step.
    pub async fn reopen(
        &self,
        run: &RunId,
        request: (&str, Reopen),
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<RunHandle, Error> {
        self.tidy().await?;
        let (by, from) = request;
        let first = Some(Input::Reopen { by: by.to_owned(), from });
        let options = DriverOptions { first, ..DriverOptions::new(secrets, stop) };
        Driver::start(self.0.clone(), run, options).await
    }
}

/// Whether the runners of a pool are processes that an engine starts.
fn is_local(pool: &str) -> bool {
    [POOL, UNTRUSTED_POOL].contains(&pool)
}

/// The steps that would run again.
pub(crate) fn reopened(
    run: &plue_flow::Run,
    from: &Reopen,
    now: jiff::Timestamp,
) -> Result<Vec<StepId>, plue_flow::Rejected> {
    let input = Input::Reopen { by: "restore".to_owned(), from: from.clone() };
    let steps = run.decide(now, &input)?.into_iter().find_map(|fact| match fact {
        plue_flow::Fact::RunReopened { steps, .. } => Some(steps),
        _ => None,
    });
    Ok(steps.unwrap_or_default())
}
