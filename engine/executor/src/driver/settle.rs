//! Settling: inputs → facts → one transaction → effects. No `.await` stands between reading and
//! changing the state of the run; if the transaction is refused, the state is read anew.

use std::collections::VecDeque;

use jiff::Timestamp;
use plue_flow::{AttemptStatus, AttemptView, Effect, Fact, Input, StepStatus, fact::Outcome};
use plue_plan::{AttemptId, StepId, context::Reader};
use plue_pool::local::{POOL, UNTRUSTED_POOL};
use plue_runtime::metrics::names;
use plue_store::{Assign, AttemptEnd, NewAttempt, Refused, RunCommit};
use plue_wire::runner::{AttemptResult, Claim, FETCH_HOSTS_VARIABLE, ResultVerdict};

use super::{Driver, outage};
use crate::{
    batch::{Batch, Incoming},
    error::Error,
    perform::{
        condition,
        engine_step::{Performer, refusal},
        environment::{AttemptEnv, Turn, environment},
        name, outputs,
        scope::{Seen, within_budget},
    },
};

/// Commits tried for one batch before the driver gives up: each refusal takes one input away, or a
/// queued attempt that a runner got in between.
const MAX_COMMITS: usize = 1_000;

// === impl Driver: settling ===

impl Driver {
    /// Applies inputs, commits, performs.
    pub(super) async fn settle(&mut self, mut incoming: Vec<Incoming>) -> Result<(), Error> {
        let begun = self.shared.clock.mark();
        for _ in 0..MAX_COMMITS {
            let now = self.time.now();
            let batch = self.apply(now, &incoming);
            if batch.is_empty() {
                return self.unneeded(incoming).await;
            }
            let commit = self.commit(now, &batch, &incoming);
            match self.shared.store.commit(commit).await? {
                Ok(committed) => {
                    self.deliver(batch, committed, incoming).await?;
                    let took = self.shared.clock.elapsed(begun);
                    names::TRANSITION.record(took.as_secs_f64(), &[]);
                    return Ok(());
                }
                // Perhaps a commit of our own, whose answer was lost, and with it what it assigned.
                Err(Refused::Stale { .. }) => {
                    return Err(Error::Overtaken { run: self.row.id.clone() });
                }
                Err(Refused::Superseded) => {
                    return Err(Error::Superseded { run: self.row.id.clone() });
                }
                Err(Refused::NoRun) => return Err(Error::UnknownRun(self.row.id.clone())),
                // A runner got it in between; its next word tells how it went.
                Err(Refused::NotQueued { attempt }) => {
                    tracing::debug!(%attempt, "claimed while it was being cancelled");
                }
                Err(Refused::Result { claim, verdict }) => {
                    self.verdict(claim.clone(), verdict).await;
                    incoming.retain(|entry| entry.claim() != Some(&claim));
                }
            }
            self.reload().await?;
        }
        let message = "its journal changes faster than it can be advanced".to_owned();
        Err(Error::Refused { run: self.row.id.clone(), message })
    }

    fn apply(&mut self, now: Timestamp, incoming: &[Incoming]) -> Batch {
        let mut batch = Batch::default();
        let mut queue: VecDeque<Input> = self.assigned_before(incoming);
        queue.extend(incoming.iter().map(|entry| entry.input.clone()));
        while let Some(input) = queue.pop_front() {
            match self.run.apply(now, self.named(input)) {
                Ok(transition) => {
                    batch.facts.extend(transition.facts);
                    batch.touched.extend(transition.touched);
                    for effect in transition.effects {
                        let held = self.in_the_way(&effect);
                        let answer = held.or_else(|| self.perform_in_engine(&effect));
                        // Work inside the engine begins here and goes on after the commit.
                        if answer.is_none() || self.is_engine_work(&effect) {
                            batch.effects.push(effect);
                        }
                        queue.extend(answer.map(|answer| answer.input));
                    }
                }
                Err(rejected) => {
                    tracing::debug!(run = %self.row.id, %rejected, "input without use")
                }
            }
        }
        batch
    }

    /// The start of an attempt with the value of its step's name, unknown to the reporter.
    fn named(&self, mut input: Input) -> Input {
        let (Input::Started { attempt, name, .. } | Input::Waits { attempt, name, .. }) =
            &mut input
        else {
            return input;
        };
        let starts = |view: &AttemptView| {
            matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned)
        };
        let view = self.run.attempt(attempt).filter(starts);
        let step = view.as_ref().and_then(|view| self.plan.step(&view.step));
        if let (Some(view), Some(step)) = (view, step) {
            let turn = (view.visit, view.number);
            let secrets = self.secrets.as_ref();
            *name = name::evaluate(step, &self.run, &self.surroundings, turn, secrets);
        }
        input
    }

    /// What runners have already and the run was not told: before it decides anything about other
    /// steps it must know that these can only be stopped, not withdrawn.
    fn assigned_before(&self, incoming: &[Incoming]) -> VecDeque<Input> {
        let told = |attempt: &AttemptId| {
            incoming.iter().any(|entry| match &entry.input {
                Input::Started { attempt: started, .. } => started == attempt,
                Input::Ended { attempt: ended, .. } => ended == attempt,
                Input::Lost { attempt: lost, .. } => lost == attempt,
                _ => false,
            })
        };
        let Some(leased) = &self.lease else { return VecDeque::new() };
        let untold = self.claims.keys().filter(|attempt| {
            let view = self.run.attempt(attempt);
            view.is_some_and(|view| view.status == AttemptStatus::Queued) && !told(attempt)
        });
        untold
            .map(|attempt| Input::Assigned {
                attempt: attempt.clone(),
                runner: leased.lease.runner.clone(),
            })
            .collect()
    }

    /// Performs what needs no outside: conditions, kinds without a performer, and the environment
    /// of an attempt. `None`: the effect waits for the commit.
    pub(super) fn perform_in_engine(&mut self, effect: &Effect) -> Option<Incoming> {
        match effect {
            Effect::EvaluateCondition { step, visit } => {
                let input = condition::evaluate(&self.run, &self.surroundings, step, *visit);
                Some(Incoming::plain(input))
            }
            Effect::Perform { step, visit, number, attempt } => {
                let ended = |outcome| Input::Ended {
                    attempt: attempt.clone(),
                    outcome,
                    output: serde_json::Value::Null,
                };
                if let Some(outcome) = self.refusal(step) {
                    self.deferred.push((step.clone(), ended(outcome)));
                    return None;
                }
                if self.is_engine_step(step) {
                    let begun = self.begin_in_engine(step, (*visit, *number), attempt);
                    return begun.map(Incoming::plain);
                }
                match self.prepare(step, *visit, *number) {
                    Ok(env) => {
                        self.prepared.insert(attempt.clone(), env);
                        None
                    }
                    Err(outcome) => Some(Incoming::plain(ended(outcome))),
                }
            }
            Effect::EvaluateOutputs => {
                let value = outputs::evaluate(&self.run, &self.surroundings);
                Some(Incoming::plain(Input::Outputs { value }))
            }
            Effect::Stop { .. } | Effect::Finish => None,
        }
    }

    /// Answers of steps that the engine performs itself, once every step that was queued with them
    /// has started: what cannot run must not keep from starting what can.
    pub(super) fn due_answers(&mut self) -> Vec<Incoming> {
        let held: Vec<StepId> = self.run.unschedulable().map(|(step, ..)| step).collect();
        let waits = |view: &plue_flow::StepView| {
            view.status == StepStatus::Queued
                && !held.contains(&view.step)
                && !self.deferred.iter().any(|(step, _)| *step == view.step)
        };
        if self.deferred.is_empty() || self.run.step_views().any(|view| waits(&view)) {
            return Vec::new();
        }
        self.deferred.drain(..).map(|(_, input)| Incoming::plain(input)).collect()
    }

    /// Whether a step is performed inside the engine: it has no attempt row, the journal has it all.
    pub(super) fn is_engine_step(&self, step: &StepId) -> bool {
        self.performer_of(step) != Performer::Runner
    }

    fn refusal(&self, step: &StepId) -> Option<Outcome> {
        let has_claude = self.claude().is_some();
        self.plan.step(step).and_then(|step| refusal(&step.action, has_claude))
    }

    fn is_engine_work(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::Perform { step, .. } if self.performer_of(step) == Performer::Engine)
    }

    pub(super) fn prepare(
        &self,
        step: &StepId,
        visit: u32,
        number: u32,
    ) -> Result<AttemptEnv, Outcome> {
        let refused = |message: String| Outcome::Refused { message };
        let step = self.plan.step(step).ok_or_else(|| refused(format!("no step {step}")))?;
        let traceparent = self.traceparent(&step.id, visit, number);
        let turn = Turn { run: &self.row.id, step, visit, number, traceparent };
        let (mut fetch_hosts, mut servers) = (Vec::new(), Vec::new());
        if self.is_agent(&step.id) {
            let assignment = self.assignment(&step.id, (visit, number)).map_err(refused)?;
            self.remotes(&assignment, &step.id, (visit, number)).map_err(refused)?;
            (fetch_hosts, servers) = (assignment.fetch_hosts, assignment.servers);
        }
        let prepared = within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(&step.id));
            let scope = seen.scope(&self.surroundings, (visit, number), meter);
            environment(&turn, &self.event, &self.plan.env, &scope, self.secrets.as_ref())
        });
        let mut env = prepared.map_err(refused)?;
        env.mcp.retain(|server| servers.iter().any(|used| used.server.name == server.name));
        if !fetch_hosts.is_empty() {
            env.plain.push((FETCH_HOSTS_VARIABLE.to_owned(), fetch_hosts.join(",")));
        }
        Ok(env)
    }

    /// Where the trace is when an attempt of this step runs, if there are traces.
    pub(super) fn traceparent(&self, step: &StepId, visit: u32, number: u32) -> Option<String> {
        let traces = self.shared.options.traces.as_ref()?;
        let attempt = AttemptId::new(format!("{}:{step}:{visit}:{number}", self.row.id));
        Some(traces.of_attempt(&self.row.id, &self.origin, &attempt).to_string())
    }

    /// The transaction that stores a batch.
    fn commit(&self, now: Timestamp, batch: &Batch, incoming: &[Incoming]) -> RunCommit {
        let mut commit = RunCommit::new(self.row.id.clone(), self.seq, now, self.run.view());
        commit.drive = self.right.fence();
        commit.facts.clone_from(&batch.facts);
        commit.steps = batch.touched.iter().filter_map(|step| self.run.step_view(step)).collect();
        for fact in &batch.facts {
            match fact {
                Fact::AttemptQueued { step, .. } if self.is_engine_step(step) => {}
                Fact::AttemptEnded { step, attempt, .. } if self.has_no_row(step, attempt) => {}
                Fact::AttemptQueued { step, visit, number, attempt } => {
                    let new = queued(attempt, (step, *visit, *number), self.pool(), now);
                    commit.attempts.push(new);
                }
                Fact::AttemptUnschedulable { attempt, .. } => {
                    commit.attempts.retain(|new| new.id != *attempt);
                }
                Fact::AttemptSchedulable { step, attempt } => {
                    let view = self.run.attempt(attempt);
                    let new = view.map(|view| {
                        queued(attempt, (step, view.visit, view.number), self.pool(), now)
                    });
                    commit.attempts.extend(new);
                }
                Fact::AttemptRequeued { attempt, .. } => {
                    commit.requeue.extend(self.claims.get(attempt).cloned());
                }
                // No runner ever could have it, so that it has no row.
                Fact::AttemptEnded { attempt, .. } if self.run.is_unschedulable(attempt) => {}
                Fact::AttemptEnded { attempt, outcome, .. } => {
                    self.ended_attempt(&mut commit, incoming, attempt, outcome);
                }
                Fact::RunCreated { .. }
                | Fact::RunStarted
                | Fact::ConditionEvaluated { .. }
                | Fact::AttemptAssigned { .. }
                | Fact::AttemptStarted { .. }
                | Fact::AttemptWaiting { .. }
                | Fact::DecisionMade { .. }
                | Fact::CallsAsked { .. }
                | Fact::ChildStarted { .. }
                | Fact::OutputsEvaluated { .. }
                | Fact::RetryScheduled { .. }
                | Fact::StepEnded { .. }
                | Fact::LoopedBack { .. }
                | Fact::CancelRequested { .. }
                | Fact::RunTimedOut
                | Fact::RunReopened { .. }
                | Fact::RunEnded { .. } => {}
            }
        }
        // Ended before a runner could have them: no row, the journal has it all.
        let instant = std::mem::take(&mut commit.cancels);
        let (here, elsewhere) = instant
            .into_iter()
            .partition(|attempt| commit.attempts.iter().any(|new| new.id == *attempt));
        let here: Vec<AttemptId> = here;
        commit.attempts.retain(|new| !here.contains(&new.id));
        commit.cancels = elsewhere;
        if outage::cancels(&batch.facts) > 0 {
            commit.answers_request.clone_from(&self.request_seen);
        }
        commit.assign_to =
            self.session().map(|(runner, epoch)| Assign { runner, epoch, max: usize::MAX });
        commit
    }

    /// An attempt ends by its runner's result, because its runner is lost, or before any runner
    /// had it.
    fn ended_attempt(
        &self,
        commit: &mut RunCommit,
        incoming: &[Incoming],
        attempt: &AttemptId,
        outcome: &Outcome,
    ) {
        let result = incoming.iter().find_map(|entry| {
            entry.end.as_ref().filter(|end| end.result.claim.attempt == *attempt)
        });
        let end = match (result, self.claims.get(attempt)) {
            (Some(end), _) => AttemptEnd {
                claim: end.result.claim.clone(),
                tail: end.tail.clone(),
                seq: Some(end.result.seq),
                status: AttemptStatus::Done,
                outcome: outcome.clone(),
                detail: Some(detail(&end.result)),
            },
            (None, Some(claim)) => AttemptEnd {
                claim: claim.clone(),
                tail: Vec::new(),
                seq: None,
                status: match outcome {
                    Outcome::Infra { .. } => AttemptStatus::Lost,
                    Outcome::Success
                    | Outcome::Exit { .. }
                    | Outcome::TimedOut
                    | Outcome::Cancelled
                    | Outcome::Refused { .. }
                    | Outcome::Failed { .. }
                    | Outcome::Rejected { .. } => AttemptStatus::Done,
                },
                outcome: outcome.clone(),
                detail: None,
            },
            (None, None) => {
                commit.cancels.push(attempt.clone());
                return;
            }
        };
        commit.ends.push(end);
    }

    /// Inputs that changed nothing: a result among them is one that was recorded before.
    async fn unneeded(&mut self, incoming: Vec<Incoming>) -> Result<(), Error> {
        for claim in incoming.iter().filter_map(Incoming::claim) {
            self.verdict(claim.clone(), ResultVerdict::Duplicate).await;
        }
        Ok(())
    }

    pub(super) async fn verdict(&mut self, claim: Claim, verdict: ResultVerdict) {
        // The attempt may have a newer claim by now: it was queued again with this result.
        let is_current = self.claims.get(&claim.attempt) == Some(&claim);
        if is_current && !matches!(verdict, ResultVerdict::Need(_)) {
            self.claims.remove(&claim.attempt);
        }
        if let Some(leased) = &self.lease {
            leased.lease.send(plue_pool::Command::Verdict { claim, verdict }).await;
        }
    }
}

impl Driver {
    /// The pool whose runners may have its attempts.
    fn pool(&self) -> &'static str {
        if self.origin.untrusted { UNTRUSTED_POOL } else { POOL }
    }
}

/// The row of an attempt that runners may claim.
fn queued(attempt: &AttemptId, of: (&StepId, u32, u32), pool: &str, now: Timestamp) -> NewAttempt {
    let (step, visit, number) = of;
    NewAttempt {
        id: attempt.clone(),
        step: step.clone(),
        visit,
        number,
        pool: pool.to_owned(),
        priority: 0,
        not_before: now,
    }
}

/// What a result says beside its outcome, for `plue explain` and pages.
fn detail(result: &AttemptResult) -> serde_json::Value {
    serde_json::json!({
        "wall_us": result.wall_us,
        "cpu_us": result.cpu_us,
        "max_rss_kib": result.max_rss_kib,
        "leaked": result.leaked,
    })
}
