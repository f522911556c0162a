//! `forge` steps: the change is checked here, and applied by the writer of the server. Without one, and in
//! a replay, the step shows what it would do.

use std::time::Duration;

use plue_flow::{Input, fact::Outcome};
use plue_plan::{Action, AttemptId, StepId, context::Reader};
use plue_runtime::mask::Secrets;
use serde_json::Value as Json;
use tokio::task::JoinHandle;

use super::Driver;
use crate::perform::{
    forge::{OfRun, proposed},
    scope::{Seen, within_budget},
};

/// The longest time of a change, unless the step sets one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

// === impl Driver: forges ===

impl Driver {
    /// Checks what a step proposes, and has it applied.
    pub(super) fn change_forge(
        &self,
        step: &StepId,
        attempt: &AttemptId,
        (visit, number): (u32, u32),
    ) -> Result<JoinHandle<()>, String> {
        let definition = self.plan.step(step).ok_or("no such step")?;
        let Action::Plugin(plugin) = &definition.action else {
            return Err(format!("`{}` is no plugin", definition.action.kind()));
        };
        let writer = self.shared.forge.get().filter(|_| self.origin.replay.is_none()).cloned();
        let run = OfRun {
            workflow: &self.plan.name,
            repository: self.row.repo.as_deref(),
            event: &self.event,
            origin: &self.origin,
            is_dry: writer.is_none(),
        };
        let mut proposed = within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(step));
            let scope = seen.scope(&self.surroundings, (visit, number), meter);
            proposed(definition, plugin, &scope, &run)
        })?;
        let secrets = self.secrets.all();
        proposed.mask(&Secrets::new(secrets.iter().map(Vec::as_slice)));
        let timeout = definition.options.timeout.as_ref().and_then(|text| text.parse().ok());
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
        let (sender, attempt) = (self.work.sender.clone(), attempt.clone());
        let task = async move {
            let (outcome, output) = match writer {
                None => proposed.shown(),
                Some(writer) => {
                    let applying = writer.apply(proposed.change.clone());
                    match tokio::time::timeout(timeout, applying).await {
                        Ok(applied) => proposed.ended(applied),
                        Err(_elapsed) => (Outcome::TimedOut, Json::Null),
                    }
                }
            };
            let ended = Input::Ended { attempt, outcome, output };
            let _nobody_listens = sender.send(ended).await;
        };
        Ok(self.shared.tasks.spawn("change a forge", task))
    }
}
