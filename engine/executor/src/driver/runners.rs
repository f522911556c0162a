//! The runner of a run: its lease and session, the attempts that it has claimed or is about to get, and
//! what is sent to it.
//!
//! Must not change the state of the run: it is passed in, and what follows is returned as inputs.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use plue_flow::{AttemptStatus, Input, Run, fact::Outcome};
use plue_plan::{AttemptId, RunId, RunnerId, Step};
use plue_pool::{Command, Lease, PoolEvent, WorkDir};
use plue_store::AttemptRow;
use plue_wire::{
    eval::Bytes,
    outputs::OutputSpec,
    runner::{Claim, ResultVerdict},
};

use super::context::RunContext;
use crate::{
    batch::{Incoming, RunnerState, Session},
    claude::agent_run::Order,
    error::Error,
    perform::{
        environment::AttemptEnv,
        runner_step::{Bounds, assignment},
    },
};
use lost_attempts::LostAttempts;
use remote::Elsewhere;

mod lost_attempts;
mod remote;
mod scheduling;

/// Bytes of secrets in one message; a frame holds twice as many.
const MAX_MASK_BYTES: usize = plue_wire::runner::MAX_FRAME_BYTES / 2;

pub(crate) struct Runners {
    context: Arc<RunContext>,
    leased: Option<LeasedRunner>,
    /// Attempts that a runner of this driver has, with their fences.
    claims: HashMap<AttemptId, Claim>,
    /// Environments of attempts that are queued but not with a runner.
    prepared: HashMap<AttemptId, AttemptEnv>,
    /// Reason that no runner may have attempts of the run: the isolation that it needs is missing.
    isolation_refusal: Option<String>,
    lost: LostAttempts,
    /// The run works on another machine.
    elsewhere: Option<Elsewhere>,
    /// Ends of attempts that could not be handed to the runner, for the next pass.
    failed: Vec<Incoming>,
}

/// A runner and, once it is ready, its session.
pub(crate) struct LeasedRunner {
    lease: Lease,
    /// Counts the connections of the runner.
    epoch: Option<u64>,
    /// The session that has the secrets to be masked.
    masked: Option<u64>,
}

// === impl Runners: leases ===

impl Runners {
    pub(crate) fn new(context: Arc<RunContext>) -> Self {
        Self {
            elsewhere: Elsewhere::of(&context),
            context,
            leased: None,
            claims: HashMap::new(),
            prepared: HashMap::new(),
            isolation_refusal: None,
            lost: LostAttempts::default(),
            failed: Vec::new(),
        }
    }

    pub(crate) async fn check_isolation(&mut self) {
        if self.elsewhere.is_some() {
            // The isolation of this machine has no bearing on others.
            return;
        }
        let context = &self.context;
        self.isolation_refusal = context.shared.isolation_refusal(&context.origin).await;
    }

    pub(crate) fn has_lease(&self) -> bool {
        self.leased.is_some()
    }

    pub(crate) fn runner(&self) -> Option<&RunnerId> {
        self.leased.as_ref().map(|leased| &leased.lease.runner)
    }

    /// The session of the runner; `None` while the run is handed over, so that nothing more is assigned.
    pub(crate) fn session(&self) -> Option<Session> {
        if self.context.hands_over() {
            return None;
        }
        let leased = self.leased.as_ref()?;
        let runner = leased.lease.runner.clone();
        leased.epoch.map(|epoch| Session { runner, epoch })
    }

    /// Starts a session; returns its runner.
    pub(crate) fn begin_session(&mut self, epoch: u64) -> Option<RunnerId> {
        let leased = self.leased.as_mut()?;
        leased.epoch = Some(epoch);
        Some(leased.lease.runner.clone())
    }

    /// Leases a fresh runner, which reports itself when it is ready.
    pub(crate) async fn lease(&mut self) -> Result<(), Error> {
        if self.isolation_refusal.is_some() {
            // The attempts are unschedulable.
            return Ok(());
        }
        if self.elsewhere.is_some() {
            return self.lease_elsewhere().await;
        }
        let shared = &self.context.shared;
        let run = &self.context.row.id;
        let lease = shared.pool.lease(run, self.placement(), &shared.ids, None).await?;
        // An idle runner of another run is in session already.
        self.leased = Some(LeasedRunner { epoch: lease.session(), masked: None, lease });
        Ok(())
    }

    /// Leases the runner that the run had, with its claims; an error if the runner cannot be adopted.
    pub(crate) async fn adopt(
        &mut self,
        runner: &RunnerId,
    ) -> Result<Result<(), plue_pool::Error>, Error> {
        let shared = self.context.shared.clone();
        let run = self.context.row.id.clone();
        let leased = match self.adopt_elsewhere(runner).await? {
            Some(leased) => leased,
            None => {
                let adopted = Some(runner.clone());
                shared.pool.lease(&run, self.placement(), &shared.ids, adopted).await
            }
        };
        let lease = match leased {
            Ok(lease) => lease,
            Err(error) => return Ok(Err(error)),
        };
        self.leased = Some(LeasedRunner { lease, epoch: None, masked: None });
        for known in shared.store.attempts().claims_of(runner).await? {
            self.own(known.claim);
        }
        Ok(Ok(()))
    }

    fn placement(&self) -> WorkDir<'_> {
        let (origin, row) = (&self.context.origin, &self.context.row);
        // Runs of forks never share a runner.
        let scope = row.repo.as_deref().filter(|_| row.fork.is_none());
        WorkDir { workspace: &origin.workspace, untrusted: origin.untrusted, scope }
    }

    pub(crate) fn take_lease(&mut self) -> Option<LeasedRunner> {
        self.leased.take()
    }

    /// Leaves the runner alone: its processes go on, and it stores its reports for the next driver.
    pub(crate) async fn detach(&mut self) {
        if let Some(leased) = self.leased.take() {
            leased.detach().await;
        }
    }

    /// The next event of the runner. Cancel-safe; pending without one.
    pub(crate) async fn next(&mut self) -> Option<PoolEvent> {
        match &mut self.leased {
            Some(leased) => leased.lease.next().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn try_next(&mut self) -> Option<PoolEvent> {
        self.leased.as_mut()?.lease.try_next()
    }

    /// Waits until the runner has room for orders; ready without a runner.
    pub(crate) fn room(&self) -> impl Future<Output = ()> + Send + use<> {
        let room = self.leased.as_ref().map(|leased| leased.lease.room());
        async move {
            if let Some(room) = room {
                room.await;
            }
        }
    }

    /// Drops what can be derived from the store again.
    pub(crate) fn forget(&mut self) {
        self.claims.clear();
        self.failed.clear();
        self.prepared.clear();
        self.lost.forget_waiting();
    }
}

// === impl Runners: claims ===

impl Runners {
    pub(crate) fn state<'a>(&'a self, agent_rows: &'a HashSet<AttemptId>) -> RunnerState<'a> {
        RunnerState { claims: &self.claims, agent_rows, pool: self.pool(), session: self.session() }
    }

    pub(crate) fn claim(&self, attempt: &AttemptId) -> Option<&Claim> {
        self.claims.get(attempt)
    }

    /// Whether a claim is the newest one of its attempt.
    pub(crate) fn is_current(&self, claim: &Claim) -> bool {
        self.claims.get(&claim.attempt) == Some(claim)
    }

    pub(crate) fn own(&mut self, claim: Claim) {
        self.claims.insert(claim.attempt.clone(), claim);
    }

    pub(crate) fn disown(&mut self, attempt: &AttemptId) {
        self.claims.remove(attempt);
    }

    /// Whether a runner has an attempt that has not ended.
    pub(crate) fn has_live_attempt(&self, run: &Run) -> bool {
        let is_live = |attempt: &AttemptId| {
            run.attempt(attempt).is_some_and(|view| !view.status.is_terminal())
        };
        self.claims.keys().any(is_live)
    }

    /// Assignments that runners have and the run does not know. They come before other inputs: these
    /// attempts can only be stopped, not withdrawn.
    pub(crate) fn unreported(&self, run: &Run, incoming: &[Incoming]) -> VecDeque<Input> {
        let is_reported = |attempt: &AttemptId| {
            incoming.iter().any(|entry| match &entry.input {
                Input::Started { attempt: started, .. } => started == attempt,
                Input::Ended { attempt: ended, .. } => ended == attempt,
                Input::Lost { attempt: lost, .. } => lost == attempt,
                _ => false,
            })
        };
        let Some(runner) = self.runner() else { return VecDeque::new() };
        let unreported = self.claims.keys().filter(|attempt| {
            let view = run.attempt(attempt);
            view.is_some_and(|view| view.status == AttemptStatus::Queued) && !is_reported(attempt)
        });
        let assigned = |attempt: &AttemptId| Input::Assigned {
            attempt: attempt.clone(),
            runner: runner.clone(),
        };
        unreported.map(assigned).collect()
    }

    /// The start of an attempt, as its runner reports it.
    pub(crate) fn started(&self, claim: &Claim, began: Option<Timestamp>) -> Incoming {
        let (attempt, runner) = (claim.attempt.clone(), self.runner().cloned());
        Incoming::plain(Input::Started { attempt, runner, began, name: None })
    }

    /// Ends an attempt in the next pass that cannot be handed to the runner that has claimed it.
    pub(crate) fn fail(&mut self, claim: Claim, outcome: Outcome) {
        let (attempt, output) = (claim.attempt.clone(), serde_json::Value::Null);
        self.own(claim);
        self.failed.push(Incoming::plain(Input::Ended { attempt, outcome, output }));
    }

    /// Reports an attempt as lost in the next pass.
    pub(crate) fn fail_as_lost(&mut self, attempt: AttemptId, reason: String) {
        self.failed.push(Incoming::plain(Input::Lost { attempt, reason }));
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(crate) fn take_failed(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.failed)
    }

    /// See [`LostAttempts::bound`].
    pub(crate) fn bound_lost(&mut self, run: &Run, incoming: Vec<Incoming>) -> Vec<Incoming> {
        self.lost.bound(run, incoming, self.context.shared.clock)
    }

    pub(crate) fn lost_attempts(&mut self) -> &mut LostAttempts {
        &mut self.lost
    }
}

// === impl Runners: deliveries ===

impl Runners {
    pub(crate) fn keep_prepared(&mut self, attempt: &AttemptId, env: AttemptEnv) {
        self.prepared.insert(attempt.clone(), env);
    }

    pub(crate) fn take_prepared(&mut self, attempt: &AttemptId) -> Option<AttemptEnv> {
        self.prepared.remove(attempt)
    }

    /// Sends an attempt to the runner that has claimed it.
    pub(crate) async fn assign(
        &mut self,
        claim: &Claim,
        step: &Step,
        env: AttemptEnv,
        outputs: Option<OutputSpec>,
    ) {
        self.send_masks().await;
        if let Some(outputs) = outputs {
            self.send(Command::Outputs(claim.clone(), Box::new(outputs))).await;
        }
        let context = &self.context;
        let limits = &context.shared.options.attempts;
        let bounds = Bounds { grace: limits.grace, log_cap_bytes: limits.log_cap_bytes };
        let (run, plan, event) = (&context.row.id, &context.plan, &context.event_json);
        let assigned = assignment(claim.clone(), run, (plan, step), env, event, bounds);
        self.own(claim.clone());
        if let Some(assign) = assigned {
            self.send(Command::Assign(Box::new(assign))).await;
        }
    }

    /// Sends the secrets of the run to a session that does not have them, before its first attempt.
    async fn send_masks(&mut self) {
        let Some(leased) = &mut self.leased else { return };
        if leased.masked.is_some() && leased.masked == leased.epoch {
            return;
        }
        leased.masked = leased.epoch;
        let (mut part, mut bytes) = (Vec::new(), 0);
        for secret in self.context.secrets.all() {
            if bytes + secret.len() > MAX_MASK_BYTES {
                leased.lease.send(Command::Mask(std::mem::take(&mut part))).await;
                bytes = 0;
            }
            bytes += secret.len();
            part.push(Bytes(secret));
        }
        if !part.is_empty() {
            leased.lease.send(Command::Mask(part)).await;
        }
    }

    /// Sends the verdicts on the results among inputs.
    pub(crate) async fn send_verdicts(&mut self, incoming: &[Incoming], verdict: &ResultVerdict) {
        for claim in incoming.iter().filter_map(Incoming::claim) {
            self.send_verdict(claim.clone(), *verdict).await;
        }
    }

    pub(crate) async fn send_verdict(&mut self, claim: Claim, verdict: ResultVerdict) {
        // A result that queued its attempt again is older than the claim.
        if self.is_current(&claim) && !matches!(verdict, ResultVerdict::Need(_)) {
            self.disown(&claim.attempt);
        }
        self.send(Command::Verdict { claim, verdict }).await;
    }

    pub(crate) async fn send_stop(&self, claim: Claim, kill: bool) {
        self.send(Command::Stop { claim, kill }).await;
    }

    /// Sends an order of an agent, unless its claim is stale.
    pub(crate) async fn send_order(&self, order: Order) {
        if self.is_current(&order.claim) {
            self.send(Command::Agent(order.claim, Box::new(order.order))).await;
        }
    }

    async fn send(&self, command: Command) {
        if let Some(leased) = &self.leased {
            leased.lease.send(command).await;
        }
    }
}

// === impl LeasedRunner ===

impl LeasedRunner {
    pub(crate) async fn detach(self) {
        self.lease.detach().await;
    }

    /// Stops the runner and waits for its end, unless the pool keeps it idle. Returns the id of a stopped
    /// runner.
    pub(crate) async fn release(self, context: &RunContext, run: &RunId) -> Option<RunnerId> {
        let workspace = &context.origin.workspace;
        let lease = context.shared.pool.park(self.lease, run, workspace).await?;
        let runner = lease.runner.clone();
        lease.release().await;
        Some(runner)
    }
}

/// The start of an attempt that is in its row but not in the journal: it was stored with the first
/// output, and the driver died before it was applied.
pub(crate) fn unreported_start(run: &Run, known: &AttemptRow) -> Option<Incoming> {
    let attempt = &known.claim.attempt;
    let view = run.attempt(attempt)?;
    let is_unreported = matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned);
    let started = Input::Started {
        attempt: attempt.clone(),
        runner: known.runner.clone(),
        began: known.started_at,
        name: None,
    };
    (known.state == AttemptStatus::Running && is_unreported).then(|| Incoming::plain(started))
}
