//! Calls that people approve: requested in the journal, decided in rows of the store, added to the
//! transcript before they are carried out.
//!
//! Must not approve by itself: a replay takes recorded decisions, and a timeout rejects.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use plue_flow::{AskedCall, CallRequest};
use plue_llm::{
    Agent,
    agent::{APPROVAL_SECONDS, Call, Decision, Held, Input, shown_arguments},
};
use plue_plan::AttemptId;
use plue_store::decision::CallDecision;
use tokio::sync::Mutex;

use super::agent_run::{AgentMessage, AgentRun, AgentScope, STORE_PAUSE, Stopped, call_prefix};

/// Interval at which decisions are polled.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Calls of one attempt that people are asked about at the same time; further ones follow with the decisions.
const MAX_ASKED: usize = 32;

/// The approval requests of one agent.
#[derive(Debug)]
pub(crate) struct Approvals {
    /// Shared with the other agents of the attempt.
    requests: Requests,
    /// The attempt whose transcript this one continues; decisions about its open calls count.
    pub(crate) lost: Option<AttemptId>,
}

/// The requests of all agents of an attempt: people get them as one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<RequestList>>);

#[derive(Debug, Default)]
struct RequestList {
    /// By transcript. `None`: the agent has been started here and has not reported yet.
    agents: BTreeMap<AttemptId, Option<Request>>,
    /// The last list for the journal. `None`: this engine has reported none; the journal may have that of
    /// another engine.
    reported: Option<(Vec<AskedCall>, bool)>,
}

#[derive(Debug)]
struct Request {
    calls: Vec<AskedCall>,
    /// True if the agent asks the model, or the runner carries out calls of it.
    is_busy: bool,
}

// === impl Approvals ===

impl Approvals {
    pub(crate) fn new(requests: Requests) -> Self {
        Self { requests, lost: None }
    }

    /// Those of a subagent, which is about to start.
    pub(super) async fn below(&self, id: &AttemptId) -> Self {
        self.requests.0.lock().await.agents.insert(id.clone(), None);
        Self::new(self.requests.clone())
    }

    /// Forgets the requests of a subagent that has ended, and of those below it.
    pub(super) async fn forget(&self, id: &AttemptId) {
        let mut list = self.requests.0.lock().await;
        list.forget_below(id);
        list.agents.remove(id);
    }
}

// === impl RequestList ===

impl RequestList {
    fn forget_below(&mut self, id: &AttemptId) {
        let below = format!("{id}~");
        self.agents.retain(|agent, _| !agent.as_str().starts_with(&below));
    }

    /// The list for the journal, if it is another one than the last. None while agents start: a list without
    /// their requests would withdraw those of an earlier engine.
    fn news(&self) -> Option<(Vec<AskedCall>, bool)> {
        let all: Option<Vec<&Request>> = self.agents.values().map(Option::as_ref).collect();
        let all = all?;
        let calls = all.iter().flat_map(|request| request.calls.iter().cloned());
        let calls: Vec<AskedCall> = calls.take(MAX_ASKED).collect();
        let is_busy = !calls.is_empty() && all.iter().any(|request| request.is_busy);
        let news = (calls, is_busy);
        (self.reported.as_ref() != Some(&news)).then_some(news)
    }
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
                let (run, step, id) = (&self.scope.run, &self.scope.step, &asked.call);
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
            let asked = self.scope.asked_id(&call);
            let row = rows.iter().find(|row| row.call == asked);
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

    /// Reports the waiting calls of this agent for the journal. `is_busy`: it does not only wait for people and
    /// for subagents.
    pub(super) async fn ask_people(&self, held: &[Call], is_busy: bool) -> Result<(), Stopped> {
        let asked = |call: &Call| AskedCall {
            request: self.request(call),
            until: call.held.and_then(|held| held.until),
        };
        let calls = held.iter().map(asked).collect();
        let mut list = self.approvals.requests.0.lock().await;
        list.agents.insert(self.scope.id.clone(), Some(Request { calls, is_busy }));
        let Some(news) = list.news() else { return Ok(()) };
        let (calls, is_busy) = news.clone();
        let claim = self.scope.claim.clone();
        let message = AgentMessage::Asks { claim, calls, is_busy };
        // Sent under the lock, so that the newest list is the last.
        self.tools.orders.send(message).await.map_err(|_| Stopped::Superseded)?;
        list.reported = Some(news);
        Ok(())
    }

    /// Reports that no call of this agent or of one below it waits.
    pub(super) async fn withdraw_requests(&self) -> Result<(), Stopped> {
        self.approvals.requests.0.lock().await.forget_below(&self.scope.id);
        self.ask_people(&[], true).await
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
            call: self.scope.asked_id(call),
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

// === impl AgentScope ===

impl AgentScope {
    /// The id of a call for people, who see the calls of all agents of the attempt.
    fn asked_id(&self, call: &Call) -> String {
        match call_prefix(&self.id) {
            prefix if prefix.is_empty() => call.id.clone(),
            prefix => format!("{prefix}:{}", call.id),
        }
    }
}
