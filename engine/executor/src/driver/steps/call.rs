//! `call` steps: the request of an attempt and, if its answer comes later, the token of its callback.

use plue_flow::{Awaited, Input, Run, fact::Outcome};
use plue_plan::{AttemptId, StepId};
use serde_json::Value as Json;

use crate::{
    driver::context::RunContext,
    perform::{
        call::{self, CALLBACK_LIFETIME, Called, TOKEN_HEADER, send::send},
        scope::AttemptNumber,
    },
};

/// The call of an attempt; resolves to its input.
///
/// # Errors
/// A text for the author: the request cannot be built.
pub(super) fn call(
    context: &RunContext,
    run: &Run,
    step: &StepId,
    at: AttemptNumber,
    attempt: AttemptId,
) -> Result<impl Future<Output = Input> + Send + use<>, String> {
    let definition = context.step(step).ok_or("no such step")?;
    let (shared, run_id) = (context.shared.clone(), context.row.id.clone());
    let key = format!("{run_id}:{step}:{}", at.visit);
    let mut request = context.evaluate(run, step, at, |scope| {
        call::request(definition, key, scope, context.secrets.as_ref())
    })?;
    let has_timeout = definition.options.timeout.is_some();
    let lifetime = if has_timeout { request.timeout } else { CALLBACK_LIFETIME };
    let until = shared.clock.now().saturating_add(lifetime).map_err(|error| error.to_string())?;
    let token = request.callback.then(|| shared.ids.secret());
    if let Some(token) = &token {
        request.headers.insert(TOKEN_HEADER.to_owned(), token.clone());
    }
    let guard = context.guard();
    Ok(async move {
        if let Some(token) = token {
            let hash = crate::answer::token_hash(&token);
            if let Err(error) = shared.store.callbacks().add(&hash, &run_id, &attempt, until).await
            {
                // The call is not made; the flow retries a lost attempt.
                let outcome = Outcome::Infra { message: error.to_string() };
                return Input::Ended { attempt, outcome, output: Json::Null };
            }
        }
        match send(request, &guard).await {
            Called::Ended(outcome, output) => Input::Ended { attempt, outcome, output },
            Called::Accepted => {
                let (what, until) = (Awaited::Callback, Some(until));
                Input::Waits { attempt, what, until, name: None }
            }
        }
    })
}
