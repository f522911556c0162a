//! The engine: what every driver of a run shares.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use plue_flow::{Input, input::Reopen, quotas::Quotas};
use plue_plan::{RunId, StepId};
use plue_pool::{
    Apart, LocalPool,
    local::{POOL, UNTRUSTED_POOL},
};
use plue_runtime::{Clock, Ids, Stop, Tasks, clock::Mark};
use plue_store::{Drive, DriveRequest, RunRow, Store};

use crate::{
    child_places::ChildPlaces,
    claude::Claude,
    driver::{Driver, Inputs, RunHandle},
    error::Error,
    liveness::{self, RunLock},
    loaded::{MAX_UNTRUSTED, Origin},
    membership::Membership,
    perform::{
        checkpoint::{self, GoesOn, OnConflict, Restored},
        child::Workflows,
        environment::SecretSource,
        forge::ForgeWriter,
        placement::Capacity,
    },
    reach::Guard,
    right::{Right, give_back_later},
    trace::Traces,
};

/// Between two looks for what dead engines left, as long as runs are driven.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Bounds that the operator sets.
#[derive(Debug, Clone)]
pub struct Options {
    /// File with the locks of runs.
    pub locks_dir: PathBuf,
    /// Between TERM and KILL of a step.
    pub grace: Duration,
    /// Bytes of log kept per attempt.
    pub log_cap_bytes: u64,
    /// How often a run looks for requests of other processes (`plue cancel`).
    pub control_poll: Duration,
    /// Whether what steps change in the workspace is kept, for `plue retry`.
    pub checkpoints: bool,
    /// How long a run waits for a database that does not answer before its driver gives up.
    pub patience: Duration,
    /// What the runners have, for steps that ask for it.
    pub capacity: Capacity,
    /// Where `call` steps and webhooks may go beside public addresses.
    pub calls: Guard,
    /// How long an engine that shares its database lives without a sign of life.
    pub lease: Duration,
    /// When told to drain, runs of a shared database are left to other engines between two steps.
    pub hand_over: bool,
    /// Finds workflows by name, for child runs; without it, only plans that steps put out can run.
    pub workflows: Option<Arc<dyn Workflows>>,
    /// Of a server: where workspaces lie on this machine, wherever the server had them that made a run.
    pub workspaces: Option<PathBuf>,
    /// Runs are not driven here: what a run is told ([`Engine::reopen`]) is stored, and the rest is left
    /// to other engines.
    pub only_tells: bool,
    /// Steps are told of their trace, and somebody of the ends of runs.
    pub traces: Option<Traces>,
    /// Longest duration of a fork's run and of each of its steps, whatever its plan allows.
    pub untrusted_timeout: Duration,
    /// Of a server: how many runs of whom run at the same time; child runs count as well.
    pub quotas: Option<Quotas>,
    /// Settings of Claude steps; without them there are none, without a key only those of replays.
    pub claude: Option<Claude>,
}

impl Options {
    /// The defaults, with this file for locks.
    #[must_use]
    pub fn new(locks_dir: PathBuf) -> Self {
        Self {
            locks_dir,
            grace: Duration::from_secs(10),
            log_cap_bytes: 100 * 1024 * 1024,
            control_poll: Duration::from_millis(200),
            checkpoints: true,
            patience: Duration::from_secs(15 * 60),
            capacity: Capacity::of_this_machine(),
            calls: Guard::default(),
            lease: Duration::from_secs(15),
            hand_over: false,
            workflows: None,
            workspaces: None,
            only_tells: false,
            traces: None,
            untrusted_timeout: MAX_UNTRUSTED,
            quotas: None,
            claude: None,
        }
    }
}

/// A run that this engine has taken to drive it.
#[derive(Debug)]
pub struct Taken {
    /// The run.
    pub row: RunRow,
    right: Arc<Right>,
}

/// Advances runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

/// What drivers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) pool: LocalPool,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) tasks: Tasks,
    /// This engine among those that share the database.
    pub(crate) membership: Membership,
    pub(crate) child_places: ChildPlaces,
    /// Writer of `forge` steps; without one they show the change that they propose.
    pub(crate) forge: OnceLock<Arc<dyn ForgeWriter>>,
    /// When this engine last looked for what dead ones left.
    tidied: Mutex<Option<Mark>>,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Where runners come from.
    pub pool: LocalPool,
    /// Time.
    pub clock: Clock,
    /// Fresh ids.
    pub ids: Ids,
    /// Tasks.
    pub tasks: Tasks,
}

// === impl Taken ===

impl Taken {
    /// The right to drive it, for what is written beside its journal.
    #[must_use]
    pub fn drive(&self) -> Option<&Drive> {
        self.right.drive()
    }
}

// === impl Shared ===

impl Shared {
    /// The reason that no step of a run may be started here, in words; `None`: steps may start.
    pub(crate) async fn why_not_apart(&self, origin: &Origin) -> Option<String> {
        if !origin.untrusted {
            let why = self.pool.why_held(&origin.workspace).await?;
            return Some(format!("runs only behind walls (pools.local.mode is required): {why}"));
        }
        let why = match self.pool.is_apart().await {
            Apart::Ready(_) => return None,
            Apart::Off => "pools.untrusted.mode is off".to_owned(),
            Apart::Missing(why) => why,
        };
        Some(format!("is from a fork and runs only in the pool `untrusted`: {why}"))
    }
}

// === impl Engine ===

impl Engine {
    /// An engine that advances nothing yet.
    #[must_use]
    pub fn new(options: Options, parts: Parts) -> Self {
        Self(Arc::new(Shared {
            child_places: ChildPlaces::new(options.quotas),
            options,
            store: parts.store,
            pool: parts.pool,
            clock: parts.clock,
            ids: parts.ids,
            tasks: parts.tasks,
            membership: Membership::default(),
            forge: OnceLock::new(),
            tidied: Mutex::new(None),
        }))
    }

    /// Lets `forge` steps write to forges; the first writer counts.
    pub fn write_to_forges(&self, writer: Arc<dyn ForgeWriter>) {
        let _has_one = self.0.forge.set(writer);
    }

    /// Whether runs of strangers can be kept apart from everything else on this machine.
    pub async fn is_apart(&self) -> Apart {
        self.0.pool.is_apart().await
    }

    /// Whether runs of own commits are kept apart as well.
    pub async fn is_walled(&self) -> Apart {
        self.0.pool.is_walled().await
    }

    /// The store of this engine.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Starts a runner for a run in this workspace that will be driven here soon, with `python` one
    /// that expects Python steps. [`Engine::close`] ends it if none is.
    ///
    /// # Errors
    /// [`Error::Pool`].
    pub async fn warm(&self, workspace: &Path, python: bool) -> Result<(), Error> {
        Ok(self.0.pool.warm(workspace, &self.0.ids, python).await?)
    }

    /// Ends the runners that no run uses, and leaves the other engines in order.
    pub async fn close(&self) {
        if let Err(error) = self.0.membership.leave(&self.0.store).await {
            tracing::warn!(%error, "other engines find out by themselves that this one has ended");
        }
        if let Err(error) = self.0.pool.close().await {
            tracing::warn!(%error, "a runner without a run is left");
        }
    }

    /// Child runs of this engine in places of their own.
    #[must_use]
    pub fn placed_children(&self) -> usize {
        self.0.child_places.placed()
    }

    /// Whether a process that lives advances the run.
    #[must_use]
    pub fn is_driven(&self, run: &RunId) -> bool {
        liveness::is_driven(&self.0.options.locks_dir, run)
    }

    /// Advances a run until it ends or waits for a decision. A run that another engine left behind
    /// is taken up where the store says it is.
    ///
    /// # Errors
    /// The run does not exist, cannot be read, or another live engine has it.
    pub async fn drive(
        &self,
        run: &RunId,
        secrets: Arc<dyn SecretSource>,
        stop: Stop,
    ) -> Result<RunHandle, Error> {
        self.tidy_at_times().await?;
        let inputs = Inputs::new(secrets, stop);
        Driver::start(self.0.clone(), run, inputs).await
    }

    /// [`Engine::drive`] by the engine itself, without a user's request. Only on one machine.
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
        let inputs = Inputs { unasked: true, ..Inputs::new(secrets, stop) };
        Driver::start(self.0.clone(), run, inputs).await
    }

    /// Takes runs without a driver within these bounds, where several engines share the database.
    /// `low_disk`: the free space, in words, if the disk is too full for runs of forks. Each run is
    /// to be driven ([`Engine::drive_taken`]) or given back ([`Engine::give_back`]).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn take(
        &self,
        quotas: Quotas,
        low_disk: Option<String>,
    ) -> Result<Vec<Taken>, Error> {
        let member = self.0.member().await?;
        if !self.0.store.has_undriven().await? {
            return Ok(Vec::new());
        }
        let children = self.placed_children();
        let request = DriveRequest { engine: member.id.clone(), quotas, children, low_disk };
        // None: buried a moment ago; the next look is by a new member.
        let taken = self.0.store.take_drives(request).await?.unwrap_or_default();
        let right = |drive| Arc::new(Right::of(&self.0, drive, member.clone()));
        Ok(taken.into_iter().map(|(row, drive)| Taken { row, right: right(drive) }).collect())
    }

    /// Drives a run that was taken.
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
            give_back_later(taken.right, &self.0, stop);
            return Err(error);
        }
        let right = Some(taken.right);
        let inputs = Inputs { unasked: true, right, ..Inputs::new(secrets, stop) };
        Driver::start(self.0.clone(), &taken.row.id, inputs).await
    }

    /// Gives a run back that was taken and cannot be driven here: nobody takes it for a moment, if `rest`.
    pub async fn give_back(&self, taken: Taken, stop: &Stop, rest: bool) {
        if rest {
            give_back_later(taken.right, &self.0, stop.clone());
        } else {
            taken.right.give_back(&self.0, stop).await;
        }
    }

    /// Gives a run back that was taken and whose task failed: this engine has lost track of it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn abandon(&self, run: &RunId) -> Result<(), Error> {
        if self.0.store.is_shared() {
            let member = self.0.member().await?;
            self.0.store.abandon_drive(run, &member.id).await?;
        }
        Ok(())
    }

    /// Whether a run that was taken is still this engine's, as far as the store knows.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn holds(&self, taken: &Taken) -> Result<bool, Error> {
        taken.right.holds(&self.0).await
    }

    /// The id of this engine among those that share the database.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn id(&self) -> Result<String, Error> {
        Ok(self.0.member().await?.id.clone())
    }

    /// Advances a run until it ends, or until nothing happens before somebody outside answers: then
    /// the runner is let go, and the handle tells [`plue_flow::RunStatus::Waiting`].
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
        let inputs = Inputs { leave: true, ..Inputs::new(secrets, stop) };
        Driver::start(self.0.clone(), run, inputs).await
    }

    /// [`Engine::tidy`], if this engine has not just done it: the dead do not become more within a
    /// second, and with many runs the look itself would cost more than they do.
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

    /// Ends the runners of runs that are over: an engine that died between the end of its run and
    /// the release of the runner left them behind. Runs that are driven do this first, the first one and
    /// then one in a second.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn tidy(&self) -> Result<(), Error> {
        let shared = &self.0;
        for runner in shared.store.runners(None).await? {
            if ![POOL, UNTRUSTED_POOL].contains(&runner.pool.as_str()) {
                continue;
            }
            let is_over = match &runner.group {
                Some(run) => {
                    let row = shared.store.run(run).await?;
                    row.is_none_or(|row| row.view.status.is_terminal())
                }
                None => false,
            };
            // A live engine has it, with its run or without one.
            if shared.pool.is_led(&runner, is_over) {
                continue;
            }
            let Some(run) = runner.group else {
                shared.pool.discard(&runner.id).await;
                let reason = "its engine is gone";
                shared.store.runner_gone(&runner.id, reason, shared.clock.now()).await?;
                continue;
            };
            if !is_over {
                continue;
            }
            // Whoever drives it is about to release it himself.
            if shared.store.is_shared() && shared.store.driver_of(&run).await?.is_some() {
                continue;
            }
            let Ok(_lock) = RunLock::take(&shared.options.locks_dir, &run) else { continue };
            shared.pool.discard(&runner.id).await;
            let reason = "its run is over";
            shared.store.runner_gone(&runner.id, reason, shared.clock.now()).await?;
        }
        Ok(())
    }

    /// Puts the files of an ended run back to what they were before the steps that [`Engine::reopen`]
    /// would run again; without `from` to what they were before the run, for another one. `aside` is a
    /// folder for copies: of what is overwritten by force, and without `from` of everything.
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
        // Whatever comes of it: what is left of runs that are over goes with the next command.
        self.tidy().await?;
        let right = Right::take(shared, run).await?;
        let restored = self.restore_held(run, from, (on_conflict, aside)).await;
        right.give_back(shared, &Stop::never()).await;
        restored
    }

    /// Puts what the steps of a run changed on top of the files that it began with, in a folder that has
    /// those: for a run whose workspace was on a machine that is gone. `false`: that cannot be known, and
    /// the folder is of no use.
    ///
    /// # Errors
    /// [`Error::Store`]; a file cannot be written.
    pub async fn rebuild(&self, run: &RunId, workspace: &Path) -> Result<bool, Error> {
        let Shared { options, store, .. } = &*self.0;
        Ok(options.checkpoints && checkpoint::rebuild(store, run, workspace).await?)
    }

    async fn restore_held(
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
        let (again, goes_on) = match from {
            Some(from) => {
                let again = reopened(&loaded.run, from, shared.clock.now());
                (again.map_err(refused)?, GoesOn::Itself)
            }
            None => {
                let all = loaded.plan.all_steps().map(|step| step.id.clone()).collect();
                (all, GoesOn::AsAnother)
            }
        };
        let origin = loaded.origin.placed(shared.options.workspaces.as_deref());
        let place = (&shared.store, origin.workspace.as_path());
        checkpoint::restore(place, (run, &again, goes_on), (on_conflict, aside)).await
    }

    /// Reopens an ended run (`plue retry`) without driving it: it waits for a place like any other.
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
        let inputs = Inputs { first, only_tells: true, ..Inputs::new(secrets, stop) };
        Driver::start(self.0.clone(), run, inputs).await?.wait().await.map(drop)
    }

    /// Lets an ended run go on (`plue retry`) and advances it.
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
        let inputs = Inputs { first, ..Inputs::new(secrets, stop) };
        Driver::start(self.0.clone(), run, inputs).await
    }
}

/// The steps that would run again.
fn reopened(
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
