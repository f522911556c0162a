//! Reservations: money for a call before it is made, in every budget at once.

use jiff::{Timestamp, tz::TimeZone};
use plue_llm::{PicoUsd, Request, price::Price};
use plue_store::usage::claude::{NewCall, Reserved, SpendScope};

use super::perform::AgentRun;

/// A shorter answer is not worth its call.
const FEWEST_TOKENS: u32 = 256;
/// Input tokens that the API adds by itself.
const OVERHEAD_TOKENS: u64 = 1_024;

/// The outcome of a reservation.
pub(crate) enum Paid {
    /// The call may be made; its id.
    Yes(String),
    /// No budget for it; for people.
    No(String),
}

/// The budgets of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    pub(crate) step: Option<PicoUsd>,
    pub(crate) run: Option<PicoUsd>,
    pub(crate) repo: Option<String>,
    pub(crate) repo_limits: super::RepoLimits,
}

// === impl Budgets ===

impl Budgets {
    fn scopes(&self, (run, step): (&str, &str), now: Timestamp) -> Vec<SpendScope> {
        let limit = |limit: Option<PicoUsd>| limit.map(|limit| limit.0);
        let scope = |name: String, of_run, limit| SpendScope { name, of_run, limit };
        let mut scopes = vec![
            scope(format!("step {run} {step}"), true, limit(self.step)),
            scope(format!("run {run}"), true, limit(self.run)),
        ];
        let date = now.to_zoned(TimeZone::UTC).date();
        let repo = self.repo.as_deref().unwrap_or("-");
        let (day, month) = (date.strftime("%Y-%m-%d"), date.strftime("%Y-%m"));
        scopes.push(scope(format!("repo {repo} {day}"), false, limit(self.repo_limits.day)));
        scopes.push(scope(format!("repo {repo} {month}"), false, limit(self.repo_limits.month)));
        scopes
    }
}

// === impl AgentRun: spending ===

impl AgentRun {
    /// Reserves the highest cost of the request. If a budget has less left, the answer may become
    /// shorter.
    pub(super) async fn reserve(
        &self,
        request: &mut Request,
        price: &Price,
    ) -> Result<Paid, plue_store::Error> {
        // No token has less than a byte.
        let bytes = serde_json::to_vec(request).map_or(usize::MAX, |body| body.len());
        let input = (bytes as u64).saturating_add(OVERHEAD_TOKENS);
        loop {
            let amount = price.at_most(input, request.max_tokens.into());
            let now = self.shared.clock.now();
            let (run, step) = (self.run.as_str(), self.step.as_str());
            let call = NewCall {
                id: self.shared.ids.text(),
                run: self.run.clone(),
                step: self.step.clone(),
                attempt: self.claim.attempt.clone(),
                model: request.model.clone(),
                amount: amount.0,
                scopes: self.budgets.scopes((run, step), now),
                at: now,
            };
            let id = call.id.clone();
            let (scope, left) = match self.shared.store.reserve_call(call).await? {
                Reserved::Yes => return Ok(Paid::Yes(id)),
                Reserved::No { scope, left } => (scope, PicoUsd(left)),
            };
            let shorter = price.affordable_output(left, input).min(request.max_tokens.into());
            let shorter = u32::try_from(shorter).unwrap_or(u32::MAX);
            if shorter < FEWEST_TOKENS || shorter >= request.max_tokens {
                return Ok(Paid::No(format!(
                    "the budget of {} has {left} left, and the next call may cost {amount}",
                    whose(&scope)
                )));
            }
            request.max_tokens = shorter;
        }
    }
}

/// The owner of a budget, for people.
fn whose(scope: &str) -> String {
    let mut words = scope.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("step"), _, Some(step)) => format!("step `{step}`"),
        (Some("run"), ..) => "the run".to_owned(),
        (Some("repo"), ..) => {
            let (kind, period) = scope.rsplit_once(' ').unwrap_or((scope, ""));
            format!("the repository {} in {period}", kind.trim_start_matches("repo "))
        }
        _ => scope.to_owned(),
    }
}
