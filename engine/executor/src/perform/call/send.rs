//! The exchange of a call: the guard checks every hop, redirects and bytes are limited.

use plue_flow::fact::Outcome;
use reqwest::{Response, StatusCode};
use serde_json::{Value as Json, json};

use super::{CallRequest, Called};
use crate::reach::{
    Guard, Request, Target, Unreached,
    exchange::{error_chain, send as exchange},
};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Most bytes of an answer's body.
const MAX_BODY: usize = 768 * 1024;

/// Sends the request and reads the answer.
pub(crate) async fn send(request: CallRequest, guard: &Guard) -> Called {
    let timeout = request.timeout;
    let callback = request.callback;
    let exchange = async {
        let response = follow(request, guard).await?;
        let status = response.status();
        Ok((status, read(response).await?))
    };
    let answered = match tokio::time::timeout(timeout, exchange).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(Unreached::TimedOut),
    };
    match answered {
        Ok((StatusCode::ACCEPTED, _)) if callback => Called::Accepted,
        Ok((status, output)) if status.is_success() => Called::Ended(Outcome::Success, output),
        Ok((status, output)) => {
            let message = format!("the call was answered with HTTP {status}");
            Called::Ended(Outcome::Failed { message }, output)
        }
        Err(Unreached::Refused(why)) => {
            let hint = why.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
            let message = format!("{}: {}{hint}", why.code.as_str(), why.message);
            Called::Ended(Outcome::Refused { message }, Json::Null)
        }
        Err(Unreached::Failed(message)) => Called::Ended(Outcome::Failed { message }, Json::Null),
        Err(Unreached::TimedOut) => Called::Ended(Outcome::TimedOut, Json::Null),
    }
}

async fn follow(mut request: CallRequest, guard: &Guard) -> Result<Response, Unreached> {
    let mut target = Target::parse(&request.url)?;
    for _ in 0..=MAX_REDIRECTS {
        let hop = Request {
            method: &request.method,
            target: &target,
            headers: &request.headers,
            body: request.body.as_deref(),
        };
        let response = exchange(hop, guard).await?;
        let status = response.status();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return Ok(response);
        };
        let next = target.join(location)?;
        // Headers may hold secrets of the first origin.
        let is_another = next.url().origin() != target.url().origin();
        if is_another {
            request.headers.clear();
        }
        let keeps =
            matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps && request.method != "HEAD" {
            request.method = "GET".to_owned();
            request.body = None;
            request.headers.remove("content-type");
        } else if is_another && request.body.is_some() {
            let message = "a redirect would take the body to another party";
            return Err(Unreached::Failed(message.to_owned()));
        }
        target = next;
    }
    Err(Unreached::Failed(format!("more than {MAX_REDIRECTS} redirects")))
}

async fn read(mut response: Response) -> Result<Json, Unreached> {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Unreached::Failed(error_chain(error)))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BODY {
            return Err(Unreached::Failed(format!("the answer has more than {MAX_BODY} bytes")));
        }
    }
    let is_json = kind.split(';').next().is_some_and(|kind| {
        let kind = kind.trim().to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    });
    let parsed = if is_json { serde_json::from_slice(&bytes).ok() } else { None };
    let body = parsed.unwrap_or_else(|| Json::String(String::from_utf8_lossy(&bytes).into_owned()));
    Ok(json!({"status": status, "content_type": kind, "body": body}))
}
