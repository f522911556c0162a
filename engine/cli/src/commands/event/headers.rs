//! Headers as people save them: a JSON object, a JSON list of pairs, or the lines of a request.

use plue_forge::Headers;
use serde_json::Value as Json;

use crate::failure::Failure;

pub(super) fn parse(bytes: &[u8]) -> Result<Headers, Failure> {
    if let Ok(json) = serde_json::from_slice::<Json>(bytes) {
        return of_json(&json);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut headers = Headers::default();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) if !name.contains(char::is_whitespace) => {
                headers.push(name, value.trim());
            }
            // The request line that comes first in a copied request.
            Some(_) | None if line.contains(" HTTP/") => {}
            Some(_) | None => return Err(no_headers(line)),
        }
    }
    Ok(headers)
}

/// Time at which a Standard Webhooks delivery claims to be signed; 0 for others.
pub(super) fn signed_at(headers: &Headers) -> i64 {
    headers.only("webhook-timestamp").and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn of_json(json: &Json) -> Result<Headers, Failure> {
    let mut headers = Headers::default();
    let mut add = |name: &str, value: &Json| match value {
        Json::String(value) => headers.push(name, value.clone()),
        Json::Number(number) => headers.push(name, number.to_string()),
        Json::Bool(_) | Json::Null | Json::Array(_) | Json::Object(_) => {}
    };
    match json {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Json::Array(values) => values.iter().for_each(|value| add(name, value)),
                    one => add(name, one),
                }
            }
        }
        Json::Array(pairs) => {
            for pair in pairs {
                let name = pair.get(0).or_else(|| pair.get("name")).and_then(Json::as_str);
                let value = pair.get(1).or_else(|| pair.get("value"));
                let (name, value) = name.zip(value).ok_or_else(|| no_headers("a pair"))?;
                add(name, value);
            }
        }
        other => return Err(no_headers(&other.to_string())),
    }
    Ok(headers)
}

fn no_headers(what: &str) -> Failure {
    let what: String = what.chars().take(80).collect();
    Failure::usage(format!("this is no header: {what}"))
        .hint(r#"the headers are a JSON object, {"X-GitHub-Event": "push"}, or lines of a request"#)
}
