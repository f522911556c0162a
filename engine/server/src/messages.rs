//! Messages for a repository, from the API, the command line or a named webhook. A message is stored before
//! it is acknowledged; then it triggers runs and reaches the steps that wait on its topic.
//!
//! Must not match triggers: the intake does, from the store.

use jiff::Timestamp;
use plue_plan::limits::MAX_OUTPUT_BYTES;
use plue_store::{DeliveryRow, DeliveryState, RepoRow, Store, WEBHOOK_TOPIC};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::error::Error;

/// Kind of the deliveries for messages on topics.
pub const EVENT: &str = "event";
/// Kind of the deliveries for calls of named webhooks.
pub const WEBHOOK: &str = "webhook";
/// Characters of a topic.
pub const MAX_TOPIC: usize = 256;
/// Bytes of a message's data as JSON.
pub const MAX_DATA_BYTES: usize = MAX_OUTPUT_BYTES;
/// Bytes of a message's id.
pub const MAX_ID: usize = 255;

/// A message on a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Topic, as `on_event` names it.
    pub topic: String,
    /// Payload of the event.
    pub data: Json,
    /// Actor of the event.
    pub by: String,
}

/// Stores a message for a repository. `id` is the sender's idempotency key. Returns whether the message is
/// new.
///
/// # Errors
/// [`Error::Unfit`] for an invalid message; the database, after which the sender must retry.
pub async fn publish(
    store: &Store,
    repo: &RepoRow,
    message: Message,
    id: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    check(&message, id)?;
    let by = message.by.clone();
    let body = serde_json::to_vec(&message).map_err(|error| Error::Unfit(error.to_string()))?;
    let delivery = row((EVENT, &repo.hook, id), json!({}), body, now);
    let received = Some((message.topic, message.data));
    Ok(store.topics().receive(&repo.name, delivery, received, &by).await?)
}

/// Stores the verified call of a named webhook. `id` is the sender's idempotency key.
///
/// # Errors
/// The database; the call must not be acknowledged then.
pub(crate) async fn store_call(
    store: &Store,
    repo: &RepoRow,
    (name, id): (&str, &str),
    body: Vec<u8>,
    now: Timestamp,
) -> Result<bool, Error> {
    let data = data_of(&body);
    // A larger body exceeds the output of a waiting step and only triggers runs.
    let fits = body.len() <= MAX_DATA_BYTES / 2;
    let received = fits.then(|| (format!("{WEBHOOK_TOPIC}{name}"), data));
    let delivery = row((WEBHOOK, &repo.hook, id), json!({"name": name}), body, now);
    Ok(store.topics().receive(&repo.name, delivery, received, WEBHOOK).await?)
}

/// The data of a body: parsed JSON, or else its text.
pub(crate) fn data_of(body: &[u8]) -> Json {
    match serde_json::from_slice(body) {
        Ok(data) => data,
        Err(_) if body.is_empty() => Json::Null,
        Err(_) => Json::String(String::from_utf8_lossy(body).into_owned()),
    }
}

/// The payload of an event: the fields of an object, or anything else as `data`.
pub(crate) fn payload_of(data: Json) -> Map<String, Json> {
    match data {
        Json::Object(fields) => fields,
        Json::Null => Map::new(),
        other => Map::from_iter([("data".to_owned(), other)]),
    }
}

fn check(message: &Message, id: &str) -> Result<(), Error> {
    let unfit = |why: String| Err(Error::Unfit(why));
    let length = message.topic.chars().count();
    if !(1..=MAX_TOPIC).contains(&length) || message.topic.chars().any(char::is_control) {
        return unfit(format!("a topic is 1 to {MAX_TOPIC} printable characters"));
    }
    if message.topic.starts_with(WEBHOOK_TOPIC) {
        return unfit(format!("topics that begin with {WEBHOOK_TOPIC} are reserved for webhooks"));
    }
    let size = message.data.to_string().len();
    if size > MAX_DATA_BYTES {
        return unfit(format!("the message has {size} bytes, more than {MAX_DATA_BYTES}"));
    }
    if !(1..=MAX_ID).contains(&id.len()) || id.chars().any(char::is_control) {
        return unfit(format!("the id of a message is 1 to {MAX_ID} printable bytes"));
    }
    Ok(())
}

fn row(
    (forge, hook, id): (&str, &str, &str),
    headers: Json,
    body: Vec<u8>,
    received_at: Timestamp,
) -> DeliveryRow {
    DeliveryRow {
        forge: forge.to_owned(),
        hook: hook.to_owned(),
        id: id.to_owned(),
        headers,
        body,
        received_at,
        state: DeliveryState::New,
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_or_text() {
        assert_eq!(data_of(br#"{"a": [1]}"#), json!({"a": [1]}));
        assert_eq!(data_of(b""), Json::Null);
        assert_eq!(data_of(b"a=1&b=2"), json!("a=1&b=2"));
        assert_eq!(data_of(b"\xff{"), json!("\u{fffd}{"));
        assert_eq!(payload_of(json!([1])), Map::from_iter([("data".to_owned(), json!([1]))]));
        assert_eq!(payload_of(Json::Null), Map::new());
    }

    #[test]
    fn invalid_messages_are_refused_with_a_reason() {
        let refusal = |topic: &str, data: Json, id: &str| {
            let message = Message { topic: topic.to_owned(), data, by: "ann".to_owned() };
            check(&message, id).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refusal("build.done", json!(1), "k"), "");
        assert_eq!(refusal(&"ü".repeat(MAX_TOPIC), Json::Null, "k"), "");
        for topic in ["", "a\nb", &"x".repeat(MAX_TOPIC + 1)] {
            assert!(refusal(topic, Json::Null, "k").contains("a topic is"), "{topic:?}");
        }
        assert!(refusal("webhook:deploy", Json::Null, "k").contains("reserved for webhooks"));
        assert!(refusal("t", json!("x".repeat(MAX_DATA_BYTES)), "k").contains("more than"));
        assert!(refusal("t", Json::Null, "").contains("the id"));
        assert!(refusal("t", Json::Null, &"k".repeat(MAX_ID + 1)).contains("the id"));
    }
}
