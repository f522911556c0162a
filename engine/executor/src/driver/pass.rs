//! One pass of a driver: inputs → decide → commit → effects.
//!
//! No `.await` stands between reading and changing the state of the run, and one transaction stores all
//! that follows. If it is refused, the state is read again. Nothing is performed or acknowledged before
//! its commit.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use plue_flow::{Effect, Input};
use plue_runtime::metrics::names;
use plue_store::Refused;
use plue_wire::runner::ResultVerdict;
use serde_json::Value as Json;

use super::{
    agents::Agents, context::RunContext, ledger::Ledger, outage::Outage, runners::Runners,
    steps::EngineSteps,
};
use crate::{
    batch::{Batch, Incoming},
    error::Error,
    perform::{condition, outputs, scope::AttemptNumber},
};

mod effects;
mod recover;

/// Commits tried for one batch before the driver gives up: each refusal takes one input away, or a
/// queued attempt that a runner has claimed in between.
const MAX_COMMITS: usize = 1_000;

/// The owners that take part in a pass.
pub(crate) struct Pass<'d> {
    pub(crate) context: &'d Arc<RunContext>,
    pub(crate) ledger: &'d mut Ledger,
    pub(crate) runners: &'d mut Runners,
    pub(crate) steps: &'d mut EngineSteps,
    pub(crate) agents: &'d mut Agents,
    pub(crate) outage: &'d mut Outage,
}

// === impl Pass ===

impl Pass<'_> {
    /// Applies inputs, commits what follows, performs its effects.
    pub(crate) async fn run(&mut self, mut incoming: Vec<Incoming>) -> Result<(), Error> {
        let shared = &self.context.shared;
        let run = &self.context.row.id;
        let started = shared.clock.mark();
        for _ in 0..MAX_COMMITS {
            let now = self.context.time.now();
            let batch = self.decide(now, &incoming);
            if batch.is_empty() {
                // A result among unneeded inputs was recorded before.
                self.runners.send_verdicts(&incoming, &ResultVerdict::Duplicate).await;
                return Ok(());
            }
            let commit = {
                let runners = self.runners.state(self.agents.rows());
                self.ledger.commit_batch(now, &batch, &incoming, &runners)
            };
            match shared.store.runs().commit(commit).await? {
                Ok(committed) => {
                    self.perform(batch, committed, &incoming).await?;
                    let took = shared.clock.elapsed(started);
                    names::TRANSITION.record(took.as_secs_f64(), &[]);
                    return Ok(());
                }
                // Perhaps an own commit whose answer was lost, and with it the assignments.
                Err(Refused::Stale { .. }) => return Err(Error::Overtaken { run: run.clone() }),
                Err(Refused::Superseded) => return Err(Error::Superseded { run: run.clone() }),
                Err(Refused::NoRun) => return Err(Error::UnknownRun(run.clone())),
                // Its runner will report how it ends.
                Err(Refused::NotQueued { attempt }) => {
                    tracing::debug!(%attempt, "attempt was claimed while it was being cancelled");
                }
                Err(Refused::Result { claim, verdict }) => {
                    self.runners.send_verdict(claim.clone(), verdict).await;
                    incoming.retain(|entry| entry.claim() != Some(&claim));
                }
            }
            self.ledger.reload().await?;
        }
        let message = "its journal changes faster than it can be advanced".to_owned();
        Err(Error::Refused { run: run.clone(), message })
    }

    fn decide(&mut self, now: Timestamp, incoming: &[Incoming]) -> Batch {
        let mut batch = Batch::default();
        let mut queue: VecDeque<Input> = self.runners.unreported(self.ledger.run(), incoming);
        queue.extend(incoming.iter().map(|entry| entry.input.clone()));
        while let Some(input) = queue.pop_front() {
            match self.ledger.apply(now, input) {
                Ok(transition) => {
                    batch.facts.extend(transition.facts);
                    batch.touched.extend(transition.touched);
                    for effect in transition.effects {
                        let unschedulable = self.runners.unschedulable(self.ledger.run(), &effect);
                        let answer = unschedulable.or_else(|| self.perform_at_once(&effect));
                        // Work inside the engine starts here and goes on after the commit.
                        if answer.is_none() || self.context.is_engine_work(&effect) {
                            batch.effects.push(effect);
                        }
                        queue.extend(answer.map(|answer| answer.input));
                    }
                }
                Err(rejected) => {
                    tracing::debug!(run = %self.context.row.id, %rejected, "ignored an input");
                }
            }
        }
        batch
    }

    /// Performs effects without I/O: conditions, outputs, refusals, waits, and the environment of an
    /// attempt. `None`: the effect waits for the commit.
    pub(crate) fn perform_at_once(&mut self, effect: &Effect) -> Option<Incoming> {
        let (context, run) = (self.context, self.ledger.run());
        match effect {
            Effect::EvaluateCondition { step, visit } => {
                let input = condition::evaluate(run, &context.inputs, step, *visit);
                Some(Incoming::plain(input))
            }
            Effect::Perform { step, visit, number, attempt } => {
                let at = AttemptNumber { visit: *visit, number: *number };
                let ended = |outcome| Input::Ended {
                    attempt: attempt.clone(),
                    outcome,
                    output: Json::Null,
                };
                if let Some(outcome) = context.refusal(step) {
                    self.steps.refuse_later(step, ended(outcome));
                    return None;
                }
                if context.is_engine_step(step) {
                    return self.steps.begin(run, step, at, attempt).map(Incoming::plain);
                }
                match context.prepare(run, step, at) {
                    Ok(env) => {
                        self.runners.keep_prepared(attempt, env);
                        None
                    }
                    Err(outcome) => Some(Incoming::plain(ended(outcome))),
                }
            }
            Effect::EvaluateOutputs => {
                let value = outputs::evaluate(run, &context.inputs);
                Some(Incoming::plain(Input::Outputs { value }))
            }
            Effect::Stop { .. } | Effect::Finish => None,
        }
    }
}
