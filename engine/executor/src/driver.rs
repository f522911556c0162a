//! The driver of one run: a single owner of its state that waits for inputs, commits what follows
//! from them, and only then performs it.
//!
//! Level-triggered: whatever a driver holds in memory can be derived again from the store, so a
//! driver that dies is replaced by [`Driver::start`] on the same run.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use plue_flow::{Awaited, Input, Run, RunStatus};
use plue_plan::{AttemptId, Event, Plan, RunId, RunnerId, StepId};
use plue_pool::Lease;
use plue_runtime::{Phase, Stop, Task, clock::Mark};
use plue_store::{CancelRequest, RunRow};
use plue_wire::runner::Claim;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    batch::Incoming,
    child_places::{ChildPlace, FamilyPlaces},
    engine::Shared,
    error::Error,
    loaded::{Loaded, Origin},
    perform::{
        environment::{AttemptEnv, GivenSecrets, SecretSource},
        scope::Surroundings,
    },
    right::{Right, give_back_later},
};

use agents::Agents;
use bytes::RunBytes;
use engine_work::EngineWork;
use in_hand::InHand;
use losses::Losses;
use measure::Measured;
use outage::Outage;
use steady::Steady;

pub(crate) use turn::Asked;

mod agents;
mod bytes;
mod deliver;
mod engine_work;
mod in_hand;
mod intake;
mod losses;
mod measure;
mod outage;
mod placing;
mod settle;
mod steady;
mod take_up;
mod turn;

/// Requests in flight to one driver.
const CONTROL_QUEUE: usize = 16;

/// A request to a running driver.
#[derive(Debug)]
pub(crate) enum Control {
    /// Stop the run.
    Cancel {
        /// Who asks.
        by: String,
        /// At once.
        kill: bool,
    },
}

/// A run that is being advanced by this engine.
#[derive(Debug)]
pub struct RunHandle {
    /// The run.
    pub run: RunId,
    control: mpsc::Sender<Control>,
    trouble: watch::Receiver<Option<String>>,
    done: JoinHandle<Result<RunStatus, Error>>,
}

/// Stops a run that is being advanced by this engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Canceller(mpsc::Sender<Control>);

/// A runner and, once it is ready, the number of its session.
pub(super) struct Leased {
    pub(super) lease: Lease,
    pub(super) epoch: Option<u64>,
    /// The session that has the secrets to be masked.
    pub(super) masked: Option<u64>,
}

/// What a driver is given beside its run.
pub(crate) struct Inputs {
    pub(crate) first: Option<Input>,
    pub(crate) secrets: Arc<dyn SecretSource>,
    pub(crate) stop: Stop,
    /// Stop when nothing happens until somebody outside answers.
    pub(crate) leave: bool,
    /// Store the inputs of the run, and leave the rest to the driver that continues it.
    pub(crate) only_tells: bool,
    /// The engine drives the run by itself, without a current request of a user.
    pub(crate) unasked: bool,
    /// The right to drive it, if it was taken before.
    pub(crate) right: Option<Arc<Right>>,
    /// Its place, if it is a child run.
    pub(crate) place: Option<ChildPlace>,
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    right: Arc<Right>,
    row: RunRow,
    plan: Arc<Plan>,
    run: Run,
    /// Facts of this run in the store.
    seq: u64,
    event: Event,
    /// The event as steps see it.
    event_json: String,
    /// Where steps run.
    workspace: PathBuf,
    surroundings: Surroundings,
    origin: Origin,
    /// Why no runner may have its steps: it is a stranger's, and cannot be kept apart here.
    not_apart: Option<String>,
    /// Path of the workflow file.
    source: String,
    /// What the run is told before anything else.
    first: Option<Input>,
    secrets: Arc<dyn SecretSource>,
    lease: Option<Leased>,
    /// When requests of other processes were last looked for.
    looked: Mark,
    /// The request of another process that is among the inputs that are being settled.
    request_seen: Option<CancelRequest>,
    /// Attempts that a runner of this driver has, with their fences.
    claims: HashMap<AttemptId, Claim>,
    /// Answers of steps that the engine performs itself, not yet told to the run.
    deferred: Vec<(StepId, Input)>,
    /// Attempts of the runner that cannot be handed to it, not yet told to the run.
    unable: Vec<Incoming>,
    losses: Losses,
    measured: Measured,
    bytes: RunBytes,
    work: EngineWork,
    agents: Agents,
    /// When other engines last heard that the run is advanced.
    alive_at: Mark,
    leave: bool,
    in_hand: InHand,
    only_tells: bool,
    outage: Outage,
    time: Steady,
    /// What the database said, while it does not answer.
    trouble: watch::Sender<Option<String>>,
    /// Environments of attempts that are queued but not with a runner.
    prepared: HashMap<AttemptId, AttemptEnv>,
    control: mpsc::Receiver<Control>,
    stop: Stop,
    /// Of a child run that does not wait for the outside.
    place: Option<ChildPlace>,
    /// Of its own children.
    family: FamilyPlaces,
}

// === impl Inputs ===

impl Inputs {
    /// Inputs for driving a run to its end at the request of a user.
    pub(crate) fn new(secrets: Arc<dyn SecretSource>, stop: Stop) -> Self {
        let (first, right, place) = (None, None, None);
        let (leave, only_tells, unasked) = (false, false, false);
        Self { first, secrets, stop, leave, only_tells, unasked, right, place }
    }
}

// === impl RunHandle ===

impl RunHandle {
    /// A way to stop the run.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller(self.control.clone())
    }

    /// What the database says while it does not answer and the run waits for it; `None` otherwise.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    /// Whether the driver has stopped; [`RunHandle::wait`] tells how.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.done.is_finished()
    }

    /// Waits until the run ends, or until the driver was stopped.
    ///
    /// # Errors
    /// What kept the driver from going on; the run is safe in the store.
    pub async fn wait(mut self) -> Result<RunStatus, Error> {
        self.ended().await
    }

    /// The same, beside other things. Cancel-safe; must not be called again after it has returned.
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
    /// Asks for the run to stop: TERM, grace, KILL; with `kill` at once.
    pub async fn cancel(&self, by: &str, kill: bool) {
        let _over_already = self.0.send(Control::Cancel { by: by.to_owned(), kill }).await;
    }
}

// === impl Driver ===

impl Driver {
    pub(crate) async fn start(
        shared: Arc<Shared>,
        run: &RunId,
        mut inputs: Inputs,
    ) -> Result<RunHandle, Error> {
        let stop = inputs.stop.clone();
        let right = match inputs.right.take() {
            Some(right) => right,
            None => Arc::new(Right::take(&shared, run).await?),
        };
        let (control_sender, control) = mpsc::channel(CONTROL_QUEUE);
        let made = match Self::noted(&shared, run, &inputs, &right).await {
            Ok(loaded) => Self::of((shared.clone(), right.clone()), loaded, inputs, control),
            Err(error) => Err(error),
        };
        let driver = match made {
            Ok(driver) => driver,
            Err(error) => {
                give_back_later(right, &shared, stop);
                return Err(error);
            }
        };
        let trouble = driver.trouble.subscribe();
        let driven = shared.tasks.owned("driver", driver.drive());
        let guarded = guarded(driven, run.clone(), right, (shared.clone(), stop));
        let done = shared.tasks.spawn("driver's guard", guarded);
        Ok(RunHandle { run: run.clone(), control: control_sender, trouble, done })
    }

    /// Notes that the run is in hand, then reads it: reading may be what kills the engine.
    async fn noted(
        shared: &Shared,
        run: &RunId,
        inputs: &Inputs,
        right: &Right,
    ) -> Result<Loaded, Error> {
        if inputs.unasked && !right.is_shared() && !shared.store.take_in_hand(run).await? {
            return Err(Error::SetAside { run: run.clone() });
        }
        let loaded = Self::read(shared, run, inputs).await?;
        if !inputs.unasked && loaded.row.deaths > 0 {
            shared.store.revive(run).await?;
        }
        Ok(loaded)
    }

    async fn read(shared: &Shared, run: &RunId, inputs: &Inputs) -> Result<Loaded, Error> {
        let loaded = Loaded::read(&shared.store, run).await?;
        if let Some(first) = &inputs.first {
            let refused = |why: plue_flow::Rejected| Error::Refused {
                run: run.clone(),
                message: why.to_string(),
            };
            loaded.run.decide(shared.clock.now(), first).map_err(refused)?;
        }
        Ok(loaded)
    }

    fn of(
        (shared, right): (Arc<Shared>, Arc<Right>),
        loaded: Loaded,
        inputs: Inputs,
        control: mpsc::Receiver<Control>,
    ) -> Result<Self, Error> {
        let Loaded { row, source, origin, plan, run, seq, cancels, last } = loaded;
        let corrupt = |error: serde_json::Error| Error::Corrupt {
            run: row.id.clone(),
            message: error.to_string(),
        };
        let only_tells = inputs.only_tells || shared.options.only_tells;
        let origin = origin.placed(shared.options.workspaces.as_deref());
        let looked = shared.clock.mark();
        let time = Steady::new(shared.clock, last);
        let mut outage = Outage::default();
        outage.reread(cancels);
        let event: Event = serde_json::from_value(source.event.clone()).map_err(corrupt)?;
        // What a stranger wrote gets none, whoever lets it run and from wherever it is driven.
        let secrets: Arc<dyn SecretSource> = match origin.is_strangers(&event) {
            true => Arc::new(GivenSecrets::default()),
            false => inputs.secrets,
        };
        Ok(Self {
            shared,
            right,
            plan,
            run,
            seq,
            event,
            event_json: source.event.to_string(),
            surroundings: Surroundings { inputs: source.inputs, event: source.event },
            workspace: origin.workspace.clone(),
            origin,
            not_apart: None,
            source: source.source,
            first: inputs.first,
            secrets,
            lease: None,
            looked,
            request_seen: None,
            claims: HashMap::new(),
            deferred: Vec::new(),
            unable: Vec::new(),
            losses: Losses::default(),
            measured: Measured::default(),
            bytes: RunBytes::default(),
            work: EngineWork::new(),
            agents: Agents::new(),
            alive_at: looked,
            leave: inputs.leave,
            in_hand: InHand { noted: inputs.unasked, since: looked },
            only_tells,
            outage,
            time,
            trouble: watch::Sender::new(None),
            prepared: HashMap::new(),
            control,
            stop: inputs.stop,
            place: inputs.place,
            family: FamilyPlaces::new(),
            row,
        })
    }

    async fn drive(mut self) -> Result<RunStatus, Error> {
        let (shared, right, stop) = (self.shared.clone(), self.right.clone(), self.stop.clone());
        let driven = self.driven().await;
        self.leave_in_order().await;
        // What works for it ends before anybody else may begin.
        drop(self);
        match &driven {
            Ok(_) => right.give_back(&shared, &stop).await,
            Err(_) => give_back_later(right, &shared, stop),
        }
        driven
    }

    async fn driven(&mut self) -> Result<RunStatus, Error> {
        self.not_apart = self.shared.why_not_apart(&self.origin).await;
        let advanced = self.advance_in_turn().await;
        if let Some(leased) = self.lease.take() {
            let over = self.run.is_finished() || self.leaves() || self.hands_over();
            // An agent that waits for people keeps its process: the files and the session are there.
            let stays = self.leaves() && self.has_live_attempt();
            if advanced.is_ok() && over && !stays {
                self.release(leased).await;
            } else {
                // What it runs goes on, and what it reports waits on its disk for the next driver.
                leased.lease.detach().await;
            }
        }
        advanced?;
        Ok(self.run.status())
    }

    /// Takes the run up and advances it until it ends or something is in the way.
    async fn advance_on(&mut self) -> Result<(), Error> {
        if self.is_handed_over() && !self.only_tells {
            return Ok(());
        }
        let mut begin = self.take_up().await?;
        begin.extend(self.outage.asked.iter().cloned().map(Incoming::plain));
        // What was answered while nobody advanced the run, before anybody leaves it again.
        begin.extend(self.stored_answers().await?);
        self.settle(begin).await?;
        self.forget_answers().await?;
        self.first = None;
        while !self.is_over() {
            let mut incoming = std::mem::take(&mut self.unable);
            incoming.extend(self.due_answers());
            incoming.extend(self.placements());
            if incoming.is_empty() {
                incoming = self.intake().await?;
            }
            self.settle(incoming).await?;
            if let Some(answered) = self.request_seen.take() {
                self.shared.store.forget_cancel_request(&self.row.id, &answered).await?;
            }
            self.forget_answers().await?;
            if self.run.status() == RunStatus::Waiting {
                self.place = None;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.run.is_finished()
            || self.leaves()
            || self.is_handed_over()
            || self.stop.phase() >= Phase::Aborting
    }

    /// Whether the run is to be left to another engine, or to the next start, as soon as no step of it runs.
    fn hands_over(&self) -> bool {
        let options = &self.shared.options;
        self.only_tells || (options.hand_over && self.stop.phase() >= Phase::Draining)
    }

    /// Whether it can be left now: no runner has an attempt, and what works inside the engine is begun
    /// again by the next one.
    fn is_handed_over(&self) -> bool {
        let is_idle = self.lease.is_none() || !self.has_live_attempt();
        self.hands_over() && is_idle && self.unable.is_empty()
    }

    /// Whether a runner has an attempt that has not ended.
    fn has_live_attempt(&self) -> bool {
        let runs = |attempt: &AttemptId| {
            self.run.attempt(attempt).is_some_and(|view| !view.status.is_terminal())
        };
        self.claims.keys().any(runs)
    }

    /// Whether nothing happens until somebody outside answers, and nobody wants to wait here.
    fn leaves(&self) -> bool {
        self.leave && self.unable.is_empty() && self.run.needs_an_answer() && self.calls_are_asked()
    }

    /// Whether calls that wait for people by the journal still wait by their agents, which may have
    /// found decisions.
    fn calls_are_asked(&self) -> bool {
        let mut waiting = self.run.waiting();
        waiting
            .all(|one| !matches!(one.what, Awaited::Call(_)) || self.agents.is_asking(&one.attempt))
    }

    /// The runner's session, once there is one. None when nothing shall be begun any more.
    fn session(&self) -> Option<(RunnerId, u64)> {
        if self.hands_over() {
            return None;
        }
        let leased = self.lease.as_ref()?;
        leased.epoch.map(|epoch| (leased.lease.runner.clone(), epoch))
    }

    /// Tells the runner to stop and waits until it is gone, so that no process is left behind.
    async fn release(&mut self, leased: Leased) {
        let kept = self.shared.pool.keep(leased.lease, &self.row.id, &self.workspace);
        let Some(lease) = kept else { return };
        let runner = lease.runner.clone();
        lease.release().await;
        while let Err(error) = self.mark_released(&runner).await {
            tracing::warn!(%runner, %error, "runner not marked as gone");
            if !self.waits_for(&error).await {
                return;
            }
        }
    }

    async fn mark_released(&self, runner: &RunnerId) -> Result<(), plue_store::Error> {
        let now = self.shared.clock.now();
        self.shared.store.runner_gone(runner, "released", now).await.map(drop)
    }
}

/// Waits for a driver; gives its right back if it panics.
async fn guarded(
    mut driver: Task<Result<RunStatus, Error>>,
    run: RunId,
    right: Arc<Right>,
    (shared, stop): (Arc<Shared>, Stop),
) -> Result<RunStatus, Error> {
    match driver.ended().await {
        Ok(driven) => driven,
        Err(failure) => {
            give_back_later(right, &shared, stop);
            Err(Error::Corrupt { run, message: format!("its driver failed: {failure}") })
        }
    }
}

fn start_input() -> Vec<Incoming> {
    vec![Incoming::plain(Input::Start)]
}
