//! From the bytes of a delivery to a [`Reading`].
//!
//! Total: any bytes give a reading or a refusal, never a panic. Must be called only with bytes that
//! were verified, except by tools that show a delivery to the person who has it.

use serde_json::Value as Json;

use crate::{
    headers::Headers, limits::MAX_BODY_BYTES, loose::Loose, provider::Provider, reading::Reading,
    refusal::Refusal,
};

pub(crate) mod body;
mod gitlab;
mod gitlab_action;
mod hub;
mod hub_kinds;
mod refs;

/// Reads a delivery.
///
/// # Errors
/// The body is too large or no JSON object, the headers do not name an event, or a field is missing
/// without which the event means nothing.
pub fn decode(provider: Provider, headers: &Headers, body: &[u8]) -> Result<Reading, Refusal> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Refusal::TooLarge);
    }
    let json: Json = body::json(headers.only("content-type"), body)?;
    let payload = Loose::new(&json);
    let named = headers.event_name(provider);
    match provider {
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => {
            hub::read(provider, named.ok_or(Refusal::NoEventName)?, payload)
        }
        Provider::GitLab => gitlab::read(named.ok_or(Refusal::NoEventName)?, payload),
    }
}

/// Complains about a missing field of an event.
fn missing(event: &str, field: &'static str) -> Refusal {
    Refusal::Missing { event: event.to_owned(), field }
}
