//! Intake: waits for the runner, for requests, for tasks of the engine and for time, and turns what
//! happens into inputs.

use std::time::Duration;

use plue_flow::{AttemptStatus, Effect, Input};
use plue_pool::{Ended, PoolEvent};
use plue_runtime::Phase;
use plue_wire::runner::{Claim, EventKind};

use super::{Driver, agents::is_divergence, concurrency, runners::unreported_start};
use crate::{
    batch::Incoming,
    claude::agent_run::AgentMessage,
    error::Error,
    perform::{outcome::outcome, test_report::store_tests},
};

/// Events of the runner that are taken into one transaction at most.
const COALESCE: usize = 256;

// === impl Driver: intake ===

impl Driver {
    /// Waits for inputs; none if something else has changed.
    pub(super) async fn intake(&mut self) -> Result<Vec<Incoming>, Error> {
        self.ledger.disarm_crash_guard().await?;
        let context = self.context.clone();
        let (clock, time) = (context.shared.clock, context.time);
        let driving = &context.shared.options.driving;
        let poll = driving.control_poll;
        // Not only an arm of the select: a busy runner would delay it for ever.
        if clock.elapsed(self.polled) >= poll {
            self.polled = clock.mark();
            let requests = self.stored_requests().await?;
            if !requests.is_empty() {
                return Ok(requests);
            }
        }
        let until_poll = poll.saturating_sub(clock.elapsed(self.polled));
        let deadline = self.ledger.run().next_deadline();
        let tick = async {
            match deadline {
                Some(at) => clock.sleep(time.until(at)).await,
                None => std::future::pending().await,
            }
        };
        let drains = driving.hand_over && context.stop.phase() < Phase::Draining;
        let next_loss = self.runners.lost_attempts().next_due(clock);
        let loss_due = async {
            match next_loss {
                Some(pause) => clock.sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        // A runner without room for orders holds up its agents, and nothing else of the run.
        let room = self.runners.room();
        let agents = &mut self.agents;
        let agent_message = async {
            room.await;
            agents.next().await
        };
        let lease = self.ledger.lease().clone();
        // Biased: requests of people come before the events of a busy runner.
        tokio::select! {
            biased;
            () = context.stop.reached(Phase::Aborting) => Ok(Vec::new()),
            () = lease.lost() => Err(Error::Superseded { run: context.row.id.clone() }),
            () = context.stop.reached(Phase::Draining), if drains => Ok(Vec::new()),
            Some(control) = self.control.recv() => Ok(self.ledger.take_request(control)),
            Some(input) = self.steps.next() => {
                Ok(self.steps.checked(self.ledger.run(), input).await)
            }
            Some(message) = agent_message => Ok(self.agent_message(message).await),
            event = self.runners.next() => self.runner_events(event).await,
            () = loss_due => Ok(self.runners.lost_attempts().take_due(clock)),
            () = tick => Ok(vec![Incoming::plain(Input::Tick)]),
            () = clock.sleep(until_poll) => Ok(Vec::new()),
        }
    }

    /// Requests that another process stored, unless another driver has advanced the run.
    async fn stored_requests(&mut self) -> Result<Vec<Incoming>, Error> {
        let context = self.context.clone();
        let store = &context.shared.store;
        let row = store.runs().get(&context.row.id).await?;
        if row.is_none_or(|row| row.seq != self.ledger.seq()) {
            return Err(Error::Overtaken { run: context.row.id.clone() });
        }
        let request = store.cancels().get(&context.row.id).await?;
        let request = self.ledger.take_stored_request(request);
        let mut requests: Vec<Incoming> = request.into_iter().collect();
        requests.extend(self.steps.stored_answers(self.ledger.run()).await?);
        if let Some(runner) = self.runners.runner() {
            requests.extend(self.usage.over_limit(&context, runner).await?);
        }
        concurrency::heartbeat(&context, &mut self.group_seen).await?;
        Ok(requests)
    }

    /// Orders go to the runner; open calls become an input.
    async fn agent_message(&mut self, message: AgentMessage) -> Vec<Incoming> {
        let (claim, calls, is_busy) = match message {
            AgentMessage::Order(order) => {
                self.runners.send_order(order).await;
                return Vec::new();
            }
            AgentMessage::Asks { claim, calls, is_busy } => (claim, calls, is_busy),
        };
        let view = self.ledger.run().attempt(&claim.attempt);
        let Some(view) = view.filter(|_| self.runners.is_current(&claim)) else {
            return Vec::new();
        };
        let mut incoming = Vec::new();
        // The runner's report of its start may still be on the way.
        if matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned) {
            incoming.push(self.runners.started(&claim, None));
        }
        let attempt = claim.attempt;
        self.agents.begins_asking(attempt.clone());
        incoming.push(Incoming::plain(Input::AsksCalls { attempt, calls, is_busy }));
        incoming
    }

    async fn runner_events(&mut self, first: Option<PoolEvent>) -> Result<Vec<Incoming>, Error> {
        let mut incoming = Vec::new();
        let mut next =
            Some(first.unwrap_or_else(|| PoolEvent::Gone { reason: "no word".to_owned() }));
        while let Some(event) = next {
            self.runner_event(event, &mut incoming).await?;
            next = if incoming.len() < COALESCE { self.runners.try_next() } else { None };
        }
        Ok(self.runners.bound_lost(self.ledger.run(), incoming))
    }

    async fn runner_event(
        &mut self,
        event: PoolEvent,
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), Error> {
        match event {
            PoolEvent::Ready { epoch, owned } => self.runner_ready(epoch, &owned, incoming).await?,
            PoolEvent::Started { claim, at } => {
                incoming.push(self.runners.started(&claim, Some(at)));
            }
            PoolEvent::Tool { claim, result } => self.agents.pass_result(&claim, result),
            PoolEvent::Ended(end) => self.attempt_ended(end, incoming).await,
            PoolEvent::Rejected { claim, reason } => {
                incoming.push(Incoming::plain(Input::Lost { attempt: claim.attempt, reason }));
            }
            PoolEvent::Gone { reason } => self.runner_gone(&reason, incoming).await?,
            PoolEvent::Failed(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Adds the input of a result, with that of its start if it was not reported.
    async fn attempt_ended(&mut self, end: Box<Ended>, incoming: &mut Vec<Incoming>) {
        let claim = &end.result.claim;
        if end.tail.iter().any(|event| matches!(event.kind, EventKind::Started { .. })) {
            // The engine's time less the runner's duration: two clocks are never compared.
            let wall = Duration::from_micros(end.result.wall_us);
            let began = self.context.time.now().saturating_sub(wall).ok();
            incoming.push(self.runners.started(claim, began));
        }
        let output = serde_json::from_str(&end.result.output_json).unwrap_or_default();
        let run = self.ledger.run();
        let ended = outcome(&end.result.exit);
        let (ended, output) = self.agents.outcome(run, claim, ended, output).await;
        self.agents.end(&claim.attempt).await;
        let run = self.ledger.run();
        let outcome = self.context.checked_outcome(run, &claim.attempt, ended, &output).await;
        // Before the end is committed: an ended attempt has its test results.
        store_tests(&self.context, run, claim).await;
        let has_diverged = is_divergence(&outcome);
        let input = Input::Ended { attempt: claim.attempt.clone(), outcome, output };
        incoming.push(Incoming { input, end: Some(end) });
        if has_diverged {
            // Steps after the first difference cannot be compared with the recording.
            let by = "replay: it differs from its recording".to_owned();
            incoming.push(Incoming::plain(Input::Cancel { by, kill: false }));
        }
    }

    /// Starts a session: compares the claims in the store with those of the runner, and assigns what is
    /// queued.
    async fn runner_ready(
        &mut self,
        epoch: u64,
        held: &[Claim],
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), Error> {
        let Some(runner) = self.runners.begin_session(epoch) else {
            return Ok(());
        };
        for known in self.context.shared.store.attempts().claims_of(&runner).await? {
            let claim = known.claim.clone();
            self.runners.own(claim.clone());
            incoming.extend(unreported_start(self.ledger.run(), &known));
            if held.contains(&claim) {
                self.pass().attach_agent(&claim).await?;
                continue;
            }
            if known.state == AttemptStatus::Assigned {
                self.pass().assign(claim).await;
            } else {
                let reason = "the runner does not know the attempt any more".to_owned();
                incoming.push(Incoming::plain(Input::Lost { attempt: claim.attempt, reason }));
            }
        }
        self.pass().claim_queued().await?;
        // Stops that were committed but perhaps not sent.
        for effect in self.ledger.run().pending_effects() {
            if let Effect::Stop { attempt, kill } = effect
                && let Some(claim) = self.runners.claim(&attempt).cloned()
            {
                self.agents.stop_children(&attempt, kill).await?;
                self.runners.send_stop(claim, kill).await;
            }
        }
        Ok(())
    }

    async fn runner_gone(
        &mut self,
        reason: &str,
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), Error> {
        let Some(runner) = self.runners.runner().cloned() else {
            return Ok(());
        };
        let lease = self.runners.take_lease();
        // Before their attempts end: text that followers have seen is in the log.
        self.agents.end_all().await;
        let context = self.context.clone();
        let shared = &context.shared;
        for lost in shared.store.runners().gone(&runner, reason, shared.clock.now()).await? {
            incoming.extend(unreported_start(self.ledger.run(), &lost));
            let attempt = lost.claim.attempt.clone();
            self.agents.stop(&attempt);
            self.agents.stop_children(&attempt, false).await?;
            self.runners.own(lost.claim);
            let reason = reason.to_owned();
            incoming.push(Incoming::plain(Input::Lost { attempt, reason }));
        }
        // Its pending attempts need another runner.
        let effects = self.ledger.run().pending_effects();
        if !context.hands_over() && effects.iter().any(|effect| context.is_runner_work(effect)) {
            self.runners.lease().await?;
        }
        drop(lease);
        Ok(())
    }
}

fn failed(error: plue_pool::Error) -> Error {
    match error {
        plue_pool::Error::Store(error) => Error::Store(error),
        other => Error::Pool(other),
    }
}
