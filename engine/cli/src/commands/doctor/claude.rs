//! The key for Claude in the environment of this process. Must not show it.

use std::time::Duration;

use plue_llm::{Client, ClientOptions, Error};
use plue_runtime::{Clock, Ids};

use crate::{
    app::App,
    claude::{base_url, credential},
    records::Check,
};

const WHAT: &str = "Claude key";
const HOW: &str = "asked the API for its models";
/// The longest wait for the API.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the API takes the key; no check without a key.
pub(super) async fn key(app: &App) -> Option<Check> {
    let (name, credential) = credential(app)?;
    let options = ClientOptions {
        base_url: base_url(app),
        connect_timeout: TIMEOUT,
        idle_timeout: TIMEOUT,
        ..ClientOptions::default()
    };
    let client = match Client::new(&credential, options, Clock::real(), Ids::random()) {
        Ok(client) => client,
        Err(error) => {
            let fix = "set ANTHROPIC_API_KEY, and ANTHROPIC_BASE_URL where it is not Anthropic's";
            return Some(Check::warn(WHAT, error.to_string(), "not asked", fix));
        }
    };
    Some(match client.check_key().await {
        Ok(()) => Check::ok(WHAT, format!("{name} works at {}", client.host()), HOW),
        Err(Error::Api(error)) if error.status == Some(404) => {
            let found =
                format!("{} answers, but lists no models: {name} is not checked", client.host());
            Check::ok(WHAT, found, HOW)
        }
        Err(error) => {
            let found = format!("{name} does not work at {}: {error}", client.host());
            Check::warn(
                WHAT,
                found,
                HOW,
                "set a key that works, and see whether the API is reached",
            )
        }
    })
}
