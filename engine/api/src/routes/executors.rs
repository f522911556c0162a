//! Registered runners: tokens for them, their registration, draining and removal.

use axum::{
    extract::State,
    http::{StatusCode, request::Parts},
    routing::{delete, post},
};
use jiff::{SignedDuration, Timestamp};
use plue_plan::{DurationText, RunnerId};
use plue_store::runner::{NewRegistered, RegistrationToken, Removal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path},
    limit,
    problem::Problem,
    records::runner::{DrainRequest, RegistrationTokenRecord, RegistrationTokenRequest},
    server::Api,
    token,
};

/// The prefix of registration tokens, for scanners of secrets.
const PREFIX: &str = "plue_reg_";
/// The pool of a token that names none.
const USUAL_POOL: &str = "registered";
/// Pools that the engine has itself, or that steps name for its machine.
const RESERVED: [&str; 6] = ["default", "engine", "local", "remote", "untrusted", ""];
/// Time for which a token is good unless the request names one.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Longest time for which a token is good.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Labels of one runner.
const MAX_LABELS: usize = 64;
/// Characters of a label, pool or name.
const MAX_NAME: usize = 128;

/// A machine that becomes a runner.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegistrationRequest {
    /// Registration token, from `plue runner token`.
    token: String,
    /// Name that lists show, and that steps may ask for.
    name: String,
    /// Labels in addition to those of the token.
    #[serde(default)]
    labels: Vec<String>,
}

/// A registered runner; this answer alone shows its credential.
#[derive(Debug, Serialize, JsonSchema)]
struct RegisteredRecord {
    /// Id of the runner.
    id: String,
    /// The proof of its identity in every session.
    credential: String,
    /// Pool that the token named.
    pool: String,
    /// Labels of the token and its own.
    labels: Vec<String>,
    /// `registered`.
    state: &'static str,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let register = Endpoint {
        method: Method::Post,
        path: "/api/v1/executors/register",
        need: Need::Nothing,
        summary: "Register a machine as a runner, with a token that is good for one",
        query: &[],
        body: Some(schema::<RegistrationRequest>),
        answer: Answer::Created(schema::<RegisteredRecord>),
        route: || post(register),
    };
    vec![
        Endpoint {
            path: "/api/v1/executors/tokens",
            need: Need::Everywhere(Role::Admin),
            summary: "Make a token that registers one runner; the answer is the only place that shows it",
            body: Some(schema::<RegistrationTokenRequest>),
            answer: Answer::Created(schema::<RegistrationTokenRecord>),
            route: || post(create_token),
            ..register.clone()
        },
        Endpoint {
            path: "/api/v1/executors/{runner}/drain",
            need: Need::Everywhere(Role::Admin),
            summary: "Let a runner finish its run and get no other, or take that back",
            body: Some(schema::<DrainRequest>),
            answer: Answer::Nothing,
            route: || post(drain),
            ..register.clone()
        },
        Endpoint {
            method: Method::Delete,
            path: "/api/v1/executors/{runner}",
            need: Need::Everywhere(Role::Admin),
            summary: "Remove a runner that works for no run; its credential is refused from then on",
            body: None,
            answer: Answer::Nothing,
            route: || delete(remove),
            ..register.clone()
        },
        register,
    ]
}

/// Checks names of a runner.
fn checked(what: &str, names: &[String]) -> Result<(), Problem> {
    let is_name = |name: &String| {
        (1..=MAX_NAME).contains(&name.chars().count())
            && !name.chars().any(|c| c.is_control() || c.is_whitespace() || c == ',')
    };
    if names.len() > MAX_LABELS || !names.iter().all(is_name) {
        return Err(Problem::bad_request(format!(
            "{what}: at most {MAX_LABELS}, each of 1 to {MAX_NAME} characters without spaces and commas"
        )));
    }
    Ok(())
}

async fn create_token(
    State(api): State<Api>,
    Caller(caller): Caller,
    Json(request): Json<RegistrationTokenRequest>,
) -> Result<(StatusCode, axum::Json<RegistrationTokenRecord>), Problem> {
    let pool = request.pool.unwrap_or_else(|| USUAL_POOL.to_owned());
    checked("`labels`", &request.labels)?;
    checked("`pool`", std::slice::from_ref(&pool))?;
    if RESERVED.contains(&pool.as_str()) {
        return Err(Problem::bad_request(format!("`{pool}` is a pool of the engine itself")));
    }
    let now = api.clock().now();
    let expires_at = expiry(now, request.expires_in.as_deref())?;
    let secret = format!("{PREFIX}{}", api.ids().secret());
    let row = RegistrationToken {
        id: api.ids().text(),
        hash: token::hash(&secret),
        pool,
        labels: request.labels,
        created_by: caller.name.clone(),
        created_at: now,
        expires_at,
        used_at: None,
    };
    api.store().registrations().create(&row).await?;
    let detail = json!({"pool": row.pool, "labels": row.labels});
    api.trail(&caller, "runner.token", (&row.id, None), detail).await?;
    let RegistrationToken { id, pool, .. } = row;
    let record = RegistrationTokenRecord { id, token: secret, pool, expires_at };
    Ok((StatusCode::CREATED, axum::Json(record)))
}

fn expiry(now: Timestamp, text: Option<&str>) -> Result<Timestamp, Problem> {
    let wrong = |why: String| Problem::bad_request(format!("`expires_in`: {why}"));
    let span = match text {
        None => GOOD_FOR,
        Some(text) => {
            let duration = DurationText::new(text).parse();
            let duration = duration.map_err(|error| wrong(error.to_string()))?;
            SignedDuration::try_from(duration).map_err(|error| wrong(error.to_string()))?
        }
    };
    if span > LONGEST {
        return Err(wrong("at most 30d".to_owned()));
    }
    now.checked_add(span).map_err(|error| wrong(error.to_string()))
}

async fn register(
    State(api): State<Api>,
    parts: Parts,
    Json(request): Json<RegistrationRequest>,
) -> Result<(StatusCode, axum::Json<RegisteredRecord>), Problem> {
    let from = limit::address(&api, &parts.extensions, &parts.headers);
    checked("`labels`", &request.labels)?;
    checked("`name`", std::slice::from_ref(&request.name))?;
    // Two draws: 320 random bits.
    let credential = format!("plue_run_{}{}", api.ids().secret(), api.ids().secret());
    let runner = NewRegistered {
        id: api.ids().runner(),
        name: request.name,
        labels: request.labels,
        credential_hash: token::hash(&credential),
    };
    let (id, name) = (runner.id.to_string(), runner.name.clone());
    let hash = token::hash(&request.token);
    let used = api.store().registrations().register(&hash, runner, api.clock().now()).await?;
    let Some(used) = used else {
        api.limiter().failed(from)?;
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "the token is unknown, used or expired: make another with `plue runner token`",
        ));
    };
    let who = Principal::new(used.created_by, Role::Admin, None).at(from);
    let detail = json!({"token": used.id, "name": name, "pool": used.pool, "labels": used.labels});
    api.trail(&who, "runner.register", (&id, None), detail).await?;
    let (pool, labels) = (used.pool, used.labels);
    let record = RegisteredRecord { id, credential, pool, labels, state: "registered" };
    Ok((StatusCode::CREATED, axum::Json(record)))
}

async fn drain(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Json(request): Json<DrainRequest>,
) -> Result<StatusCode, Problem> {
    if !api.store().registrations().drain(&RunnerId::new(id.as_str()), request.draining).await? {
        return Err(Problem::not_found("runner", &id));
    }
    let detail = json!({"draining": request.draining});
    api.trail(&caller, "runner.drain", (&id, None), detail).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let now = api.clock().now();
    match api.store().registrations().remove(&RunnerId::new(id.as_str()), now).await? {
        Removal::Removed => {}
        Removal::Unknown => return Err(Problem::not_found("runner", &id)),
        Removal::Busy(run) => {
            return Err(Problem::conflict(format!(
                "the runner works for run {run}: drain it first, then remove it"
            )));
        }
    }
    api.trail(&caller, "runner.remove", (&id, None), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runners_are_bounded() {
        let many = vec!["x".to_owned(); MAX_LABELS + 1];
        let long = "x".repeat(MAX_NAME + 1);
        for (names, is_fine) in [
            (vec!["gpu".to_owned(), "arch=arm64".to_owned()], true),
            (vec!["two words".to_owned()], false),
            (vec!["a,b".to_owned()], false),
            (vec![String::new()], false),
            (vec![long], false),
            (many, false),
        ] {
            assert_eq!(checked("`labels`", &names).is_ok(), is_fine, "{names:?}");
        }
    }

    #[test]
    fn tokens_expire_within_30_days() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(expiry(now, None).unwrap().as_second(), 3_600);
        assert_eq!(expiry(now, Some("2h")).unwrap().as_second(), 7_200);
        assert!(expiry(now, Some("31d")).is_err());
        assert!(expiry(now, Some("soon")).is_err());
    }
}
