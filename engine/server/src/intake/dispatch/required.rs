//! Required checks stay meaningful: a pull request that keeps a plan of its base from running, by a skip
//! marker or by removing the file or the trigger, does not turn the check green. The plan awaits the approval
//! of a maintainer, or the base's plan runs instead.

use plue_forge::feedback::PlanChange;
use plue_plan::Plan;
use plue_registry::{MatchInput, TriggerMatch, match_triggers};
use plue_runtime::foreign;
use plue_store::delivery::DispatchResult;

use super::Dispatch;
use crate::{
    error::Error,
    intake::{base_plans::BasePlan, dispatch_log::WorkflowName},
    notifier::{DispatchOutcome, ReportEntry},
};

/// Whether a trigger of the plan fires.
fn fires(plan: &Plan, input: &MatchInput<'_>) -> bool {
    let matched = foreign::aside(|| match_triggers(&plan.triggers, input));
    matches!(matched, TriggerMatch::Fires { .. })
}

// === impl Dispatch ===

impl Dispatch<'_> {
    /// The outcome of a plan without a firing trigger.
    pub(super) fn skipped(&mut self, plan: &Plan, reason: String) -> DispatchOutcome {
        let without_marker = MatchInput { message: None, ..self.match_input() };
        let is_marked =
            self.target.context.event.pull_request.is_some() && fires(plan, &without_marker);
        if is_marked && !self.admission.is_allowed {
            self.results.withholds = true;
            return DispatchOutcome::AwaitingApproval(format!(
                "a maintainer must allow that it does not run: {reason}"
            ));
        }
        DispatchOutcome::Skipped(reason)
    }

    /// Handles plans of the base that fire for this event but do not run after the change.
    pub(super) async fn dispatch_missing(&mut self) -> Result<(), Error> {
        for base in self.base.plans() {
            let Some(plan) = base.workflow().map(|workflow| &workflow.hashed.plan) else {
                continue;
            };
            let input = MatchInput { message: None, ..self.match_input() };
            let is_paused = self.why_paused(&plan.name).is_some();
            if is_paused || !fires(plan, &input) || self.results.invalid.contains(&base.file) {
                continue;
            }
            let now = self.results.content.plans.iter().position(|entry| entry.name == plan.name);
            let is_settled = |entry: &ReportEntry| match entry.outcome {
                DispatchOutcome::Run(_) | DispatchOutcome::Invalid(_) => true,
                // The base's plan replaces it only if base plans run.
                DispatchOutcome::AwaitingApproval(_) => {
                    !(self.base_plans() && self.results.withholds)
                }
                DispatchOutcome::Skipped(_) => false,
            };
            if now.is_some_and(|at| self.results.content.plans.get(at).is_some_and(is_settled)) {
                continue;
            }
            let change = match now {
                Some(at) => self.results.content.plans.remove(at).change,
                None => PlanChange::Removed,
            };
            let outcome = self.outcome_of_missing(&base, plan, now.is_some()).await?;
            let (file, name) = (base.file.clone(), plan.name.clone());
            self.results.content.plans.push(ReportEntry { file, name, outcome, change });
        }
        Ok(())
    }

    async fn outcome_of_missing(
        &mut self,
        base: &BasePlan,
        plan: &Plan,
        is_there: bool,
    ) -> Result<DispatchOutcome, Error> {
        let named = WorkflowName { name: &plan.name, file: &base.file };
        let what =
            if is_there { "the change keeps it from running" } else { "the change removes it" };
        if self.admission.is_allowed {
            let why = format!("{what}, which a maintainer allows");
            self.results.log.stopped(named, DispatchResult::Skipped, why.clone());
            return Ok(DispatchOutcome::Skipped(why));
        }
        if let (true, Some(workflow)) = (self.base_plans(), base.workflow()) {
            // The base's own plan reaches nothing new.
            if let Some(why) = self.admission.gate.why_awaiting(plan, Some(&[])) {
                return Ok(self.await_approval(named, why));
            }
            let remark = Some("the plan of the base");
            return self.submit(named, (&base.evaluated, workflow), remark).await;
        }
        self.results.withholds = true;
        let why = format!("a maintainer must allow that: {what}");
        Ok(self.await_approval(named, why))
    }

    fn base_plans(&self) -> bool {
        self.dispatcher.triggers.base_plans
    }
}
