//! The JSON object inside a body: plain, or the field `payload` of a form.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::refusal::Refusal;

/// The byte order mark that some proxies and editors put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The part of a body that Gitea and Forgejo sign and that counts as its content: the field `payload` of a
/// form, else all of it.
pub(crate) fn content<'b>(content_type: Option<&str>, body: &'b [u8]) -> Cow<'b, [u8]> {
    if !is_form(content_type) {
        return Cow::Borrowed(body);
    }
    let field = form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    field.map_or(Cow::Borrowed(body), |(_, payload)| match payload {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

pub(super) fn json(content_type: Option<&str>, body: &[u8]) -> Result<Json, Refusal> {
    if is_form(content_type) {
        let field = form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let (_, payload) = field.ok_or_else(|| no_object("the form has no field `payload`"))?;
        return object(payload.as_bytes());
    }
    object(body)
}

fn is_form(content_type: Option<&str>) -> bool {
    let kind = content_type.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn object(bytes: &[u8]) -> Result<Json, Refusal> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let json: Json =
        serde_json::from_slice(bytes).map_err(|error| Refusal::NotJson(error.to_string()))?;
    if json.is_object() { Ok(json) } else { Err(no_object("it is JSON, but no object")) }
}

fn no_object(why: &str) -> Refusal {
    Refusal::NotJson(why.to_owned())
}
