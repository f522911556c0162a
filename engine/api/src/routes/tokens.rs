//! Tokens: made, listed, removed. Only by who may do everything everywhere.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, post},
};
use jiff::{SignedDuration, Timestamp};
use plue_plan::DurationText;
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    commands::TokenRequest,
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path},
    problem::Problem,
    records::{NewTokenRecord, TokenRecord},
    server::Api,
    token::{self, NewToken},
};

/// Characters of a token's name.
const MAX_NAME: usize = 128;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/tokens",
        need: Need::Everywhere(Role::Admin),
        summary: "All tokens, without the tokens",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<TokenRecord>>),
        route: || get(list),
    };
    vec![
        Endpoint {
            method: Method::Post,
            summary: "Make a token; the answer is the only place that shows it",
            body: Some(schema::<TokenRequest>),
            answer: Answer::Created(schema::<NewTokenRecord>),
            route: || post(create),
            ..list.clone()
        },
        Endpoint {
            method: Method::Delete,
            path: "/api/v1/tokens/{token}",
            summary: "Remove a token; it is refused from then on",
            answer: Answer::Nothing,
            route: || delete(remove),
            ..list.clone()
        },
        list,
    ]
}

async fn list(State(api): State<Api>) -> Result<axum::Json<Vec<TokenRecord>>, Problem> {
    let rows = api.store().tokens().list().await?;
    Ok(axum::Json(rows.iter().map(TokenRecord::of).collect()))
}

async fn create(
    State(api): State<Api>,
    Caller(caller): Caller,
    Json(wanted): Json<TokenRequest>,
) -> Result<(StatusCode, axum::Json<NewTokenRecord>), Problem> {
    Ok((StatusCode::CREATED, axum::Json(make_token(&api, &caller, wanted).await?)))
}

/// Makes a token, for a caller who may; the record is the only place that has it.
///
/// # Errors
/// The request is not one for a token.
pub(crate) async fn make_token(
    api: &Api,
    caller: &Principal,
    wanted: TokenRequest,
) -> Result<NewTokenRecord, Problem> {
    let named = !wanted.name.is_empty() && wanted.name.chars().count() <= MAX_NAME;
    if !named || wanted.name.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!("`name` is 1 to {MAX_NAME} characters")));
    }
    let now = api.clock().now();
    let made = token::fresh(
        api.ids(),
        NewToken {
            name: wanted.name,
            role: wanted.role,
            repo: wanted.repository,
            expires_at: expiry(now, wanted.expires_in_days, wanted.expires_in.as_deref())?,
            by: caller.name.clone(),
        },
        now,
    );
    api.store().tokens().create(&made.row).await?;
    api.trail(caller, "token.create", (&made.row.id, None), json!({})).await?;
    Ok(NewTokenRecord { token: made.token, record: TokenRecord::of(&made.row) })
}

/// The time of expiry, from days or from a duration.
fn expiry(
    now: Timestamp,
    days: Option<u32>,
    text: Option<&str>,
) -> Result<Option<Timestamp>, Problem> {
    let span = match (days, text) {
        (None, None) => return Ok(None),
        (Some(days), None) => SignedDuration::from_hours(24 * i64::from(days)),
        (None, Some(text)) => {
            let wrong = |why: String| Problem::bad_request(format!("`expires_in`: {why}"));
            let duration = DurationText::new(text).parse();
            let duration = duration.map_err(|error| wrong(error.to_string()))?;
            SignedDuration::try_from(duration).map_err(|error| wrong(error.to_string()))?
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("either `expires_in` or `expires_in_days`"));
        }
    };
    let at = now.checked_add(span);
    at.map(Some).map_err(|_| Problem::bad_request("the token would expire too far away"))
}

async fn remove(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    remove_token(&api, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a token, for a caller who may.
///
/// # Errors
/// There is none of this id.
pub(crate) async fn remove_token(api: &Api, caller: &Principal, id: &str) -> Result<(), Problem> {
    if !api.store().tokens().remove(id).await? {
        return Err(Problem::not_found("token", id));
    }
    api.trail(caller, "token.remove", (id, None), json!({})).await
}
