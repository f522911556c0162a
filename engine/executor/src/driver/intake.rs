//! Waiting: for the runner, for requests, for time. Turns what comes into inputs.

use std::time::Duration;

use jiff::Timestamp;
use plue_flow::{AttemptStatus, Effect, Input};
use plue_pool::{Command, Ended, PoolEvent};
use plue_runtime::Phase;
use plue_store::AttemptRow;
use plue_wire::runner::{Claim, EventKind};

use super::{Driver, agents::is_divergence};
use crate::{batch::Incoming, error::Error, perform::outcome::outcome};

/// Events of the runner that are taken into one transaction at most.
const COALESCE: usize = 256;

// === impl Driver: intake ===

impl Driver {
    /// Waits until there is something to react to.
    pub(super) async fn intake(&mut self) -> Result<Vec<Incoming>, Error> {
        self.prove_harmless().await?;
        let deadline = self.run.next_deadline();
        let (clock, time) = (self.shared.clock, self.time);
        let poll = self.shared.options.control_poll;
        // Not an arm of the select alone: a busy runner would put it off for ever.
        if clock.elapsed(self.looked) >= poll {
            self.looked = clock.mark();
            let requests = self.stored_requests().await?;
            if !requests.is_empty() {
                return Ok(requests);
            }
        }
        let look = poll.saturating_sub(clock.elapsed(self.looked));
        let tick = async {
            match deadline {
                Some(at) => clock.sleep(time.until(at)).await,
                None => std::future::pending().await,
            }
        };
        let drains = self.shared.options.hand_over && self.stop.phase() < Phase::Draining;
        let loss = self.next_loss();
        let loss_due = async {
            match loss {
                Some(pause) => clock.sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        // A runner that reads nothing holds up its agents, and nothing else of the run.
        let room = self.lease.as_ref().map(|leased| leased.lease.room());
        let agents = &mut self.agents;
        let order = async {
            if let Some(room) = room {
                room.await;
            }
            agents.next().await
        };
        // Biased: requests of people before the flood of a busy runner.
        tokio::select! {
            biased;
            () = self.stop.reached(Phase::Aborting) => Ok(Vec::new()),
            () = self.right.lost() => Err(Error::Superseded { run: self.row.id.clone() }),
            () = self.stop.reached(Phase::Draining), if drains => Ok(Vec::new()),
            Some(control) = self.control.recv() => Ok(self.take_request(control)),
            Some(input) = self.work.next() => Ok(self.heard(input).await),
            Some(message) = order => Ok(self.agents_news(message).await),
            event = next_event(&mut self.lease) => self.runner_events(event).await,
            () = loss_due => Ok(self.due_losses()),
            () = tick => Ok(vec![Incoming::plain(Input::Tick)]),
            () = clock.sleep(look) => Ok(Vec::new()),
        }
    }

    /// Requests that another process left in the store, unless it has gone on with the run itself.
    async fn stored_requests(&mut self) -> Result<Vec<Incoming>, Error> {
        // Another engine may have gone on with the run while this one stood still.
        let row = self.shared.store.run(&self.row.id).await?;
        if row.is_none_or(|row| row.seq != self.seq) {
            return Err(Error::Overtaken { run: self.row.id.clone() });
        }
        let request = self.shared.store.cancel_request(&self.row.id).await?;
        self.request_seen.clone_from(&request);
        let cancel = |request: plue_store::CancelRequest| {
            Incoming::plain(Input::Cancel { by: request.by, kill: request.kill })
        };
        let mut requests: Vec<Incoming> = request.map(cancel).into_iter().collect();
        requests.extend(self.stored_answers().await?);
        requests.extend(self.over_bytes().await?);
        self.sign_of_life().await?;
        Ok(requests)
    }

    async fn runner_events(&mut self, first: Option<PoolEvent>) -> Result<Vec<Incoming>, Error> {
        let mut incoming = Vec::new();
        let mut next =
            Some(first.unwrap_or_else(|| PoolEvent::Gone { reason: "no word".to_owned() }));
        while let Some(event) = next {
            self.runner_event(event, &mut incoming).await?;
            next = match &mut self.lease {
                Some(leased) if incoming.len() < COALESCE => leased.lease.try_next(),
                Some(_) | None => None,
            };
        }
        Ok(self.bound_losses(incoming))
    }

    async fn runner_event(
        &mut self,
        event: PoolEvent,
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), Error> {
        match event {
            PoolEvent::Ready { epoch, held } => self.runner_ready(epoch, &held, incoming).await?,
            PoolEvent::Started { claim, at } => incoming.push(self.started(&claim, Some(at))),
            PoolEvent::Tool { claim, result } => self.agents.result(&claim, result),
            PoolEvent::Ended(end) => self.ended(end, incoming).await,
            PoolEvent::Rejected { claim, reason } => {
                incoming.push(Incoming::plain(Input::Lost { attempt: claim.attempt, reason }));
            }
            PoolEvent::Gone { reason } => self.runner_gone(&reason, incoming).await?,
            PoolEvent::Failed(error) => return Err(failed(error)),
        }
        Ok(())
    }

    pub(super) fn started(&self, claim: &Claim, began: Option<Timestamp>) -> Incoming {
        let runner = self.lease.as_ref().map(|leased| leased.lease.runner.clone());
        let attempt = claim.attempt.clone();
        Incoming::plain(Input::Started { attempt, runner, began, name: None })
    }

    /// A result whose start was not reported yet brings its start along.
    async fn ended(&mut self, end: Box<Ended>, incoming: &mut Vec<Incoming>) {
        let claim = &end.result.claim;
        if end.tail.iter().any(|event| matches!(event.kind, EventKind::Started { .. })) {
            // By this clock, with the duration by the runner's: no two clocks are compared.
            let wall = Duration::from_micros(end.result.wall_us);
            let began = self.time.now().saturating_sub(wall).ok();
            incoming.push(self.started(claim, began));
        }
        let output = serde_json::from_str(&end.result.output_json).unwrap_or_default();
        let (outcome, output) = self.agents_end(claim, (outcome(&end.result.exit), output)).await;
        self.agents.end(&claim.attempt, &self.shared.store).await;
        let outcome = self.judged(&claim.attempt, outcome, &output).await;
        let has_diverged = is_divergence(&outcome);
        let input = Input::Ended { attempt: claim.attempt.clone(), outcome, output };
        incoming.push(Incoming { input, end: Some(end) });
        if has_diverged {
            // Steps behind the first difference cannot be compared with the recording.
            let by = "replay: it differs from its recording".to_owned();
            incoming.push(Incoming::plain(Input::Cancel { by, kill: false }));
        }
    }

    /// A session is up: give the runner what is queued, and square what the store says it has with
    /// what it holds.
    async fn runner_ready(
        &mut self,
        epoch: u64,
        held: &[Claim],
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), Error> {
        let Some(leased) = &mut self.lease else {
            return Ok(());
        };
        leased.epoch = Some(epoch);
        let runner = leased.lease.runner.clone();
        for known in self.shared.store.claims_of(&runner).await? {
            let claim = known.claim.clone();
            self.claims.insert(claim.attempt.clone(), claim.clone());
            incoming.extend(self.unheard_start(&known));
            if held.contains(&claim) {
                self.attend_agent(&claim).await?;
                continue;
            }
            if known.state == AttemptStatus::Assigned {
                self.assign(claim).await;
            } else {
                let reason = "the runner does not know the attempt any more".to_owned();
                incoming.push(Incoming::plain(Input::Lost { attempt: claim.attempt, reason }));
            }
        }
        self.claim_queued().await?;
        // Stops that were committed, but perhaps never sent.
        for effect in self.run.pending_effects() {
            if let Effect::Stop { attempt, kill } = effect
                && let Some(claim) = self.claims.get(&attempt).cloned()
            {
                self.stop_attempt(claim, kill).await;
            }
        }
        Ok(())
    }

    /// The start of an attempt that is stored but not in the journal: it was stored with the first
    /// output, and whoever was to be told died before.
    pub(super) fn unheard_start(&self, known: &AttemptRow) -> Option<Incoming> {
        let attempt = &known.claim.attempt;
        let view = self.run.attempt(attempt)?;
        let is_unheard = matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned);
        let started = Input::Started {
            attempt: attempt.clone(),
            runner: known.runner.clone(),
            began: known.started_at,
            name: None,
        };
        (known.state == AttemptStatus::Running && is_unheard).then(|| Incoming::plain(started))
    }

    /// Gives the runner what is queued.
    pub(super) async fn claim_queued(&mut self) -> Result<(), Error> {
        let Some((runner, epoch)) = self.session() else {
            return Ok(());
        };
        loop {
            let now = self.time.now();
            let claimed = self.shared.store.claim(&runner, epoch, usize::MAX, now).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            for one in claimed {
                self.assign(one.claim).await;
            }
        }
    }

    async fn runner_gone(
        &mut self,
        reason: &str,
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), Error> {
        let Some(leased) = self.lease.take() else {
            return Ok(());
        };
        // Before their attempts end: text that was shown is in the log.
        self.agents.end_all(&self.shared.store).await;
        let now = self.shared.clock.now();
        for lost in self.shared.store.runner_gone(&leased.lease.runner, reason, now).await? {
            incoming.extend(self.unheard_start(&lost));
            let attempt = lost.claim.attempt.clone();
            self.agents.stop(&attempt);
            self.claims.insert(attempt.clone(), lost.claim);
            let reason = reason.to_owned();
            incoming.push(Incoming::plain(Input::Lost { attempt, reason }));
        }
        // Somebody else has to do what is still to be done.
        let performs = |effect: &Effect| matches!(effect, Effect::Perform { step, .. } if !self.is_engine_step(step));
        if !self.hands_over() && self.run.pending_effects().iter().any(performs) {
            self.lease_runner().await?;
        }
        Ok(())
    }

    /// Tells the runner to stop an attempt.
    pub(super) async fn stop_attempt(&self, claim: Claim, kill: bool) {
        if let Some(leased) = &self.lease {
            leased.lease.send(Command::Stop { claim, kill }).await;
        }
    }
}

async fn next_event(lease: &mut Option<super::Leased>) -> Option<PoolEvent> {
    match lease {
        Some(leased) => leased.lease.next().await,
        None => std::future::pending().await,
    }
}

fn failed(error: plue_pool::Error) -> Error {
    match error {
        plue_pool::Error::Store(error) => Error::Store(error),
        other => Error::Pool(other),
    }
}
