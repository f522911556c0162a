//! Saved views of the list of runs. Each caller has its own and sees no others.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, put},
};
use plue_dashboard::runs::{Filter, views::MAX_NAME};
use plue_store::SavedView;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    commands::ViewRequest,
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path},
    problem::Problem,
    records::SavedViewRecord,
    server::Api,
};

/// Views of one principal.
const MAX_VIEWS: u64 = 50;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/views",
        need: Need::Role(Role::Reader),
        summary: "The caller's saved views of the list of runs, by name",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<SavedViewRecord>>),
        route: || get(list),
    };
    let one = "/api/v1/views/{view}";
    vec![
        Endpoint {
            method: Method::Put,
            path: one,
            summary: "Save a view under a name, in place of the one that has it",
            body: Some(schema::<ViewRequest>),
            answer: Answer::Json(schema::<SavedViewRecord>),
            route: || put(save),
            ..list.clone()
        },
        Endpoint {
            method: Method::Delete,
            path: one,
            summary: "Remove a saved view",
            answer: Answer::Nothing,
            route: || delete(remove),
            ..list.clone()
        },
        list,
    ]
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
) -> Result<axum::Json<Vec<SavedViewRecord>>, Problem> {
    let rows = api.store().saved_views().list(&caller.name).await?;
    Ok(axum::Json(rows.into_iter().map(SavedViewRecord::of).collect()))
}

async fn save(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(wanted): Json<ViewRequest>,
) -> Result<axum::Json<SavedViewRecord>, Problem> {
    Ok(axum::Json(save_view(&api, &caller, &name, &wanted.query).await?))
}

/// Saves a filter for a caller; the record has it in its one form.
///
/// # Errors
/// The name is none, the filter is empty, or the caller has too many.
pub(crate) async fn save_view(
    api: &Api,
    caller: &Principal,
    name: &str,
    query: &str,
) -> Result<SavedViewRecord, Problem> {
    let name = name.trim();
    let is_name = (1..=MAX_NAME).contains(&name.chars().count());
    if !is_name || name.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "the name of a view is 1 to {MAX_NAME} characters"
        )));
    }
    let query = Filter::of(query).query();
    if query.is_empty() {
        return Err(Problem::bad_request(
            "the view has no condition; `query` is what follows `/runs?`, as `branch=main&state=failed`",
        ));
    }
    let row = SavedView {
        principal: caller.name.clone(),
        name: name.to_owned(),
        query,
        created_at: api.clock().now(),
    };
    match api.store().saved_views().save(row.clone(), MAX_VIEWS).await? {
        true => Ok(SavedViewRecord::of(row)),
        false => Err(Problem::conflict(format!("you have {MAX_VIEWS} views; remove one first"))),
    }
}

async fn remove(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    remove_view(&api, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a view of a caller, if it is there.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn remove_view(api: &Api, caller: &Principal, name: &str) -> Result<(), Problem> {
    Ok(api.store().saved_views().remove(&caller.name, name).await?)
}
