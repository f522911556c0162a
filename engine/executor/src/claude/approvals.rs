//! Calls that people approve: requested in the journal, decided in rows of the store, added to the
//! transcript before they are carried out.
//!
//! Must not approve by itself: a replay takes recorded decisions, and a timeout rejects.

use std::{sync::PoisonError, time::Duration};

use jiff::SignedDuration;
use plue_flow::{AskedCall, CallRequest};
use plue_llm::{
    Agent,
    agent::{APPROVAL_SECONDS, Call, Decision, Held, Input, shown_arguments},
};
use plue_plan::AttemptId;
use plue_store::decision::CallDecision;

use super::agent_run::{AgentMessage, AgentRun, STORE_PAUSE, Stopped};

/// Interval at which decisions are polled.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// The approval requests of one agent.
#[derive(Debug)]
pub(crate) struct Approvals {
    /// The requests that were last reported, and whether other calls run meanwhile. `None`: this engine has
    /// reported none; the journal may have those of another engine.
    pub(crate) asked: Option<(Vec<AskedCall>, bool)>,
    /// The attempt whose transcript this one continues; decisions about its open calls count.
    pub(crate) lost: Option<AttemptId>,
}

// === impl AgentRun: approval of calls ===

impl AgentRun {
    /// Requests approval of new calls in `held`. Returns calls that a recorded decision approves; `held`
    /// keeps those that wait.
    pub(super) async fn hold(
        &mut self,
        agent: &mut Agent,
        held: &mut Vec<Call>,
    ) -> Result<Vec<Call>, Stopped> {
        let (mut approved, mut waiting) = (Vec::new(), Vec::new());
        if held.is_empty() {
            return Ok(approved);
        }
        for mut call in held.drain(..) {
            if let Some(decision) = self.recorded(&call) {
                approved.extend(self.decided(agent, call, decision).await?);
                continue;
            }
            if call.held == Some(Held { until: None }) {
                let now = self.scope.shared.clock.now();
                let seconds = agent.task().and_then(|task| task.approval.approve_seconds);
                let seconds =
                    i64::try_from(seconds.unwrap_or(APPROVAL_SECONDS)).unwrap_or(i64::MAX);
                let until = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
                let input = Input::Held { id: call.id.clone(), until };
                self.apply(agent, input, None).await?;
                call.held = Some(Held { until: Some(until) });
                let asked = self.request(&call);
                let (run, step, id) = (&self.scope.run, &self.scope.step, &call.id);
                let text = self.log.view.note(&format!(
                    "[plue: {tool} waits for approval until {until}: {arguments}]\n[plue: plue approve \
                     {run} {step} --call {id}, or plue reject {run} {step} --call {id}]",
                    tool = asked.tool,
                    arguments = asked.arguments,
                ));
                self.log.print(&text);
            }
            waiting.push(call);
        }
        self.log.flush();
        *held = waiting;
        Ok(approved)
    }

    /// Applies new decisions, and rejects calls past their deadline. Returns the approved calls.
    pub(super) async fn look_for_decisions(
        &mut self,
        agent: &mut Agent,
        held: &mut Vec<Call>,
    ) -> Result<Vec<Call>, Stopped> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.decisions().await;
        let now = self.scope.shared.clock.now();
        let (mut approved, mut waiting) = (Vec::new(), Vec::new());
        for call in held.drain(..) {
            let until = call.held.and_then(|held| held.until);
            let row = rows.iter().find(|row| row.call == call.id);
            let id = call.id.clone();
            let decision = match row {
                Some(CallDecision { decision, at, .. }) => Decision {
                    id,
                    approve: decision.approve,
                    by: Some(decision.by.clone()),
                    at: *at,
                    message: decision.comment.clone(),
                },
                None if until.is_some_and(|until| now >= until) => {
                    Decision { id, approve: false, by: None, at: now, message: None }
                }
                None => {
                    waiting.push(call);
                    continue;
                }
            };
            approved.extend(self.decided(agent, call, decision).await?);
        }
        *held = waiting;
        Ok(approved)
    }

    /// Reports the waiting calls to the journal, unless it has them.
    pub(super) async fn ask_people(&mut self, held: &[Call], is_busy: bool) -> Result<(), Stopped> {
        let asked = |call: &Call| AskedCall {
            request: self.request(call),
            until: call.held.and_then(|held| held.until),
        };
        let calls: Vec<AskedCall> = held.iter().map(asked).collect();
        let is_busy = is_busy && !calls.is_empty();
        let now = (calls, is_busy);
        if self.approvals.asked.as_ref() == Some(&now) {
            return Ok(());
        }
        let (calls, is_busy) = now.clone();
        let claim = self.scope.claim.clone();
        let message = AgentMessage::Asks { claim, calls, is_busy };
        self.tools.orders.send(message).await.map_err(|_| Stopped::Superseded)?;
        self.approvals.asked = Some(now);
        Ok(())
    }

    /// Stores a decision; returns an approved call.
    async fn decided(
        &mut self,
        agent: &mut Agent,
        mut call: Call,
        decision: Decision,
    ) -> Result<Option<Call>, Stopped> {
        let approve = decision.approve;
        let what = if approve { "approved" } else { "rejected" };
        let text = match &decision.by {
            Some(by) => format!("[plue: {by} {what} {} ({})]", call.name, call.id),
            None => format!("[plue: no decision about {} ({}) in time]", call.name, call.id),
        };
        self.apply(agent, Input::Decided(decision), None).await?;
        let text = self.log.view.note(&text);
        self.log.print(&text);
        self.log.flush();
        call.held = None;
        Ok(approve.then_some(call))
    }

    fn recorded(&self, call: &Call) -> Option<Decision> {
        let replay = self.replay.as_ref()?;
        let recording = replay.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.decision(&replay.place, &call.id)
    }

    /// The call as people see it.
    fn request(&self, call: &Call) -> CallRequest {
        let mask = &mut |text: &mut String| *text = self.scope.masks.text(text);
        CallRequest {
            call: call.id.clone(),
            tool: call.name.clone(),
            arguments: self.scope.masks.text(&shown_arguments(&call.input, mask)),
        }
    }

    async fn decisions(&self) -> Vec<CallDecision> {
        let mut rows = Vec::new();
        for attempt in std::iter::once(&self.scope.claim.attempt).chain(&self.approvals.lost) {
            loop {
                match self.scope.shared.store.decisions().for_calls_of(attempt).await {
                    Ok(found) => break rows.extend(found),
                    Err(error) => {
                        tracing::warn!(%error, "failed to read decisions; retrying in 1 s");
                        self.scope.shared.clock.sleep(STORE_PAUSE).await;
                    }
                }
            }
        }
        rows
    }
}
