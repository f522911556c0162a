//! A required check means something: a pull request that keeps a plan from running, by a skip marker, by
//! removing its file or its trigger, does not make the check green. The plan waits for a maintainer, or the
//! base's plan runs in its place.

use plue_forge::feedback::PlanChange;
use plue_plan::Plan;
use plue_registry::{Conclusion, Happening, conclude};
use plue_runtime::foreign;
use plue_store::delivery::DispatchResult;

use super::Reaction;
use crate::{
    dispatch::WorkflowName,
    error::Error,
    feedback::{BasePlan, Entry, Fate},
};

/// Whether the triggers of a plan let it run.
fn would_run(plan: &Plan, happening: &Happening<'_>) -> bool {
    let conclusion = foreign::aside(|| conclude(&plan.triggers, happening));
    matches!(conclusion, Conclusion::Runs { .. })
}

// === impl Reaction ===

impl Reaction<'_> {
    /// The outcome for a plan that its triggers keep from running.
    pub(super) fn skipped(&mut self, plan: &Plan, reason: String) -> Fate {
        let without_marker = Happening { message: None, ..self.happening() };
        let is_marked =
            self.occasion.event.pull_request.is_some() && would_run(plan, &without_marker);
        if is_marked && !self.is_allowed {
            self.withholds = true;
            return Fate::Held(format!("a maintainer must allow that it does not run: {reason}"));
        }
        Fate::Skipped(reason)
    }

    /// The plans of the base that would have run for this event, and of which the change lets nothing
    /// run.
    pub(super) async fn missing(&mut self) -> Result<(), Error> {
        for base in self.before.plans() {
            let Some(plan) = base.workflow().map(|workflow| &workflow.hashed.plan) else {
                continue;
            };
            let happening = Happening { message: None, ..self.happening() };
            let is_paused = self.why_paused(&plan.name).is_some();
            if is_paused || !would_run(plan, &happening) || self.invalid.contains(&base.file) {
                continue;
            }
            let now = self.content.plans.iter().position(|entry| entry.name == plan.name);
            let is_settled = |entry: &Entry| match entry.fate {
                Fate::Run(_) | Fate::Invalid(_) => true,
                // Waits for the base's plan only if it would be run.
                Fate::Held(_) => !(self.base_plans() && self.withholds),
                Fate::Skipped(_) => false,
            };
            if now.is_some_and(|at| self.content.plans.get(at).is_some_and(is_settled)) {
                continue;
            }
            let change = match now {
                Some(at) => self.content.plans.remove(at).change,
                None => PlanChange::Removed,
            };
            let fate = self.fate_of_missing(&base, plan, now.is_some()).await?;
            let (file, name) = (base.file.clone(), plan.name.clone());
            self.content.plans.push(Entry { file, name, fate, change });
        }
        Ok(())
    }

    async fn fate_of_missing(
        &mut self,
        base: &BasePlan,
        plan: &Plan,
        is_there: bool,
    ) -> Result<Fate, Error> {
        let named = WorkflowName { name: &plan.name, file: &base.file };
        let what =
            if is_there { "the change keeps it from running" } else { "the change removes it" };
        if self.is_allowed {
            let why = format!("{what}, which a maintainer allows");
            self.log.stopped(named, DispatchResult::Skipped, why.clone());
            return Ok(Fate::Skipped(why));
        }
        if let (true, Some(workflow)) = (self.base_plans(), base.workflow()) {
            // Nothing of it is new: it is the base's own.
            if let Some(why) = self.gate.why_held(plan, Some(&[])) {
                self.log.stopped(named, DispatchResult::Held, why.clone());
                return Ok(Fate::Held(why));
            }
            let remark = Some("the plan of the base");
            return self.fate_of_run(named, (&base.evaluated, workflow), remark).await;
        }
        self.withholds = true;
        let why = format!("a maintainer must allow that: {what}");
        self.log.stopped(named, DispatchResult::Held, why.clone());
        Ok(Fate::Held(why))
    }

    fn base_plans(&self) -> bool {
        self.server.parts().options.triggers.base_plans
    }
}
