//! `forge` steps: the change is checked here and applied by the server's writer. Without a writer, and in
//! a replay, the output of the step is the change that it would make.

use std::time::Duration;

use plue_flow::{Input, Run, fact::Outcome};
use plue_plan::{Action, AttemptId, StepId};
use plue_runtime::mask::Secrets;
use serde_json::Value as Json;

use crate::{
    driver::context::RunContext,
    perform::{
        forge::{ForgeRun, proposed},
        scope::AttemptNumber,
    },
};

/// The longest time of a change, unless the step sets one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// The change of an attempt; resolves to its input.
///
/// # Errors
/// A text for the author: the change is not allowed.
pub(super) fn change(
    context: &RunContext,
    run: &Run,
    step: &StepId,
    at: AttemptNumber,
    attempt: AttemptId,
) -> Result<impl Future<Output = Input> + Send + use<>, String> {
    let definition = context.step(step).ok_or("no such step")?;
    let Action::Plugin(plugin) = &definition.action else {
        return Err(format!("`{}` is no plugin", definition.action.kind()));
    };
    let is_replay = context.origin.replay.is_some();
    let writer = context.shared.forge.get().filter(|_| !is_replay).cloned();
    let of_run = ForgeRun {
        workflow: &context.plan.name,
        repository: context.row.repo.as_deref(),
        sha: context.row.sha.as_deref(),
        event: &context.event,
        origin: &context.origin,
        is_dry: writer.is_none(),
    };
    let mut proposed =
        context.evaluate(run, step, at, |scope| proposed(definition, plugin, scope, &of_run))?;
    let secrets = context.secrets.all();
    proposed.mask(&Secrets::new(secrets.iter().map(Vec::as_slice)))?;
    let timeout = definition.options.timeout.as_ref().and_then(|text| text.parse().ok());
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    Ok(async move {
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
        Input::Ended { attempt, outcome, output }
    })
}
