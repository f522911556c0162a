//! Messages for a repository, wherever they come from: the API, the command line, a named webhook; a
//! broker's adapter would call the same. One is stored before it is answered, and then it starts runs
//! and goes to the steps that wait on its topic.
//!
//! Must not look for what fires: that is done from the store.

use jiff::Timestamp;
use plue_plan::limits::MAX_OUTPUT_BYTES;
use plue_store::{DeliveryRow, DeliveryState, RepoRow, Store, WEBHOOK_TOPIC};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::error::Error;

/// Messages on topics, in the inbox.
pub const EVENT: &str = "event";
/// Calls of named webhooks, in the inbox.
pub const WEBHOOK: &str = "webhook";
/// Characters of a topic.
pub const MAX_TOPIC: usize = 256;
/// Bytes of what a message says, as JSON.
pub const MAX_DATA_BYTES: usize = MAX_OUTPUT_BYTES;
/// Characters of the sender's id of a message.
pub const MAX_ID: usize = 255;

/// A message on a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// What it says.
    pub data: Json,
    /// Who sent it.
    pub by: String,
}

/// Takes in a message for a repository. `id` is the sender's name of it: however often it comes under
/// this id, it is one message. Tells whether it is new.
///
/// # Errors
/// [`Error::Unfit`] if it is no message that can be taken; else the database, and the message must be
/// sent again.
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
    let told = Some((message.topic, message.data));
    Ok(store.hear(&repo.name, delivery, told, &by).await?)
}

/// Takes in the call of a named webhook, which was verified. `id` is that of its sender.
///
/// # Errors
/// The database: then the sender must not be told that it arrived.
pub(crate) async fn called(
    store: &Store,
    repo: &RepoRow,
    (name, id): (&str, &str),
    body: Vec<u8>,
    now: Timestamp,
) -> Result<bool, Error> {
    let data = data_of(&body);
    // A step's output holds no more; whoever wants more starts a run.
    let fits = body.len() <= MAX_DATA_BYTES / 2;
    let told = fits.then(|| (format!("{WEBHOOK_TOPIC}{name}"), data));
    let delivery = row((WEBHOOK, &repo.hook, id), json!({"name": name}), body, now);
    Ok(store.hear(&repo.name, delivery, told, WEBHOOK).await?)
}

/// What a body says: JSON if it is some, else its text.
pub(crate) fn data_of(body: &[u8]) -> Json {
    match serde_json::from_slice(body) {
        Ok(data) => data,
        Err(_) if body.is_empty() => Json::Null,
        Err(_) => Json::String(String::from_utf8_lossy(body).into_owned()),
    }
}

/// As expressions and workflow files see it: the fields of an object, or `data`.
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
        return unfit(format!("on topics that begin with {WEBHOOK_TOPIC} only webhooks tell"));
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
    fn a_body_is_json_or_its_text_and_its_fields_are_the_payload() {
        assert_eq!(data_of(br#"{"a": [1]}"#), json!({"a": [1]}));
        assert_eq!(data_of(b""), Json::Null);
        assert_eq!(data_of(b"a=1&b=2"), json!("a=1&b=2"));
        assert_eq!(data_of(b"\xff{"), json!("\u{fffd}{"));
        assert_eq!(payload_of(json!([1])), Map::from_iter([("data".to_owned(), json!([1]))]));
        assert_eq!(payload_of(Json::Null), Map::new());
    }

    #[test]
    fn a_message_that_cannot_be_taken_is_refused_with_the_reason() {
        let said = |topic: &str, data: Json, id: &str| {
            let message = Message { topic: topic.to_owned(), data, by: "ann".to_owned() };
            check(&message, id).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(said("build.done", json!(1), "k"), "");
        assert_eq!(said(&"ü".repeat(MAX_TOPIC), Json::Null, "k"), "");
        for topic in ["", "a\nb", &"x".repeat(MAX_TOPIC + 1)] {
            assert!(said(topic, Json::Null, "k").contains("a topic is"), "{topic:?}");
        }
        assert!(said("webhook:deploy", Json::Null, "k").contains("only webhooks"));
        assert!(said("t", json!("x".repeat(MAX_DATA_BYTES)), "k").contains("more than"));
        assert!(said("t", Json::Null, "").contains("the id"));
        assert!(said("t", Json::Null, &"k".repeat(MAX_ID + 1)).contains("the id"));
    }
}
