//! `call` steps: an HTTP request by the engine, with limits of time, size and addresses.
//!
//! Reading order: this file (the request), `send` (the exchange); [`crate::reach`] limits the addresses.

use std::{collections::BTreeMap, time::Duration};

use plue_flow::fact::Outcome;
use plue_plan::{Action, Step, Value};
use plue_spec::{Reads, Scope, resolve, resolve_text};
use serde_json::Value as Json;

use super::environment::SecretSource;

pub(crate) mod send;

/// The timeout of a call, unless the step sets one.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The lifetime of a callback token, unless the step has a timeout.
pub(crate) const CALLBACK_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// The header with the one-time token of a callback.
pub(crate) const TOKEN_HEADER: &str = "plue-callback-token";
/// The header that is equal for all attempts of one visit.
pub(crate) const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// The request of a step.
pub(crate) struct CallRequest {
    pub(crate) method: String,
    pub(crate) url: String,
    /// By lower-case name. May hold secrets: never logged.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Duration,
    /// Whether status 202 announces a callback.
    pub(crate) callback: bool,
}

/// The result of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Called {
    /// Final outcome and output.
    Ended(Outcome, Json),
    /// The answer comes as a callback.
    Accepted,
}

/// Builds the request of a step.
///
/// # Errors
/// A text for the author: an expression without a value, a missing or misplaced secret.
pub(crate) fn request(
    step: &Step,
    idempotency_key: String,
    scope: &Scope<'_>,
    secrets: &dyn SecretSource,
) -> Result<CallRequest, String> {
    let Action::Call(call) = &step.action else {
        return Err(format!("`{}` is no call", step.action.kind()));
    };
    let url = resolve_text(&call.url, scope, &mut Reads::default())
        .map_err(|error| format!("url: {error}"))?;
    let mut headers = BTreeMap::from([(IDEMPOTENCY_HEADER.to_owned(), idempotency_key)]);
    let mut body = None;
    if let Some(value) = &call.body {
        let (kind, bytes) = body_of(value, scope)?;
        headers.insert("content-type".to_owned(), kind.to_owned());
        body = Some(bytes);
    }
    for (name, value) in &call.headers {
        let text =
            header(value, scope, secrets).map_err(|error| format!("header {name}: {error}"))?;
        headers.insert(name.to_ascii_lowercase(), text);
    }
    let method = call.method.clone();
    let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    let timeout = step.options.timeout.as_ref().and_then(|text| text.parse().ok());
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    Ok(CallRequest { method, url, headers, body, timeout, callback: call.callback })
}

fn body_of(value: &Value, scope: &Scope<'_>) -> Result<(&'static str, Vec<u8>), String> {
    let resolved = resolve(value, scope, &mut Reads::default());
    let resolved = resolved.map_err(|error| format!("body: {error}"))?;
    if let Some(secret) = resolved.secrets.first() {
        return Err(format!("body: the secret `{}` may only stand in a header", secret.name));
    }
    Ok(match resolved.value {
        Json::String(text) => ("text/plain; charset=utf-8", text.into_bytes()),
        other => ("application/json", other.to_string().into_bytes()),
    })
}

/// The value of a header. Lists are joined, so that `["Bearer ", secret("TOKEN")]` is one value.
pub(crate) fn header(
    value: &Value,
    scope: &Scope<'_>,
    secrets: &dyn SecretSource,
) -> Result<String, String> {
    let resolved =
        resolve(value, scope, &mut Reads::default()).map_err(|error| error.to_string())?;
    let secret_at = |pointer: &str| {
        let found = resolved.secrets.iter().find(|secret| secret.pointer == pointer)?;
        let text = secrets.secret(&found.name);
        Some(
            text.and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| format!("the secret `{}` was not given to this run", found.name)),
        )
    };
    if let Some(secret) = secret_at("") {
        return secret;
    }
    let Json::Array(parts) = &resolved.value else {
        return Ok(text(&resolved.value));
    };
    let parts = parts.iter().enumerate();
    parts.map(|(at, part)| secret_at(&format!("/{at}")).unwrap_or_else(|| Ok(text(part)))).collect()
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
