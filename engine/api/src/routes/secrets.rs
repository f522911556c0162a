//! Secrets: their names listed, set, removed. No answer ever holds a text.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, put},
};
use plue_store::secret::{EVERYWHERE, MAX_SECRET_BYTES};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path, repo_of},
    problem::Problem,
    records::place::SecretRecord,
    scope::{is_secret_name, scope_of},
    server::Api,
};

/// A secret that is to be kept.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    /// Its text: sealed at once, never shown again.
    text: String,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let own = Endpoint {
        method: Method::Get,
        path: "/api/v1/repositories/{repository}/secrets",
        need: Need::Role(Role::Maintainer),
        summary: "The names of a repository's secrets; write `/` in its name as %2F",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<SecretRecord>>),
        route: || get(list_own),
    };
    let all = Endpoint {
        path: "/api/v1/secrets",
        need: Need::Everywhere(Role::Maintainer),
        summary: "The names of the secrets that every repository may use",
        route: || get(list_all),
        ..own.clone()
    };
    let set = Endpoint {
        method: Method::Put,
        path: "/api/v1/repositories/{repository}/secrets/{secret}",
        summary: "Set a secret of a repository",
        body: Some(schema::<NewSecret>),
        answer: Answer::Nothing,
        route: || put(set_own),
        ..own.clone()
    };
    let remove = Endpoint {
        method: Method::Delete,
        summary: "Remove a secret of a repository",
        body: None,
        route: || delete(remove_own),
        ..set.clone()
    };
    vec![
        Endpoint {
            path: "/api/v1/secrets/{secret}",
            need: Need::Everywhere(Role::Admin),
            summary: "Set a secret that every repository may use",
            route: || put(set_all),
            ..set.clone()
        },
        Endpoint {
            path: "/api/v1/secrets/{secret}",
            need: Need::Everywhere(Role::Admin),
            summary: "Remove a secret that every repository may use",
            route: || delete(remove_all),
            ..remove.clone()
        },
        set,
        remove,
        own,
        all,
    ]
}

async fn list_own(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(repo): Path<String>,
) -> Result<axum::Json<Vec<SecretRecord>>, Problem> {
    let repo = repo_of(&api, &caller, &repo).await?.name;
    list(&api, Some(repo)).await
}

async fn list_all(State(api): State<Api>) -> Result<axum::Json<Vec<SecretRecord>>, Problem> {
    list(&api, None).await
}

async fn set_own(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((repo, name)): Path<(String, String)>,
    Json(secret): Json<NewSecret>,
) -> Result<StatusCode, Problem> {
    let repo = repo_of(&api, &caller, &repo).await?.name;
    set(&api, &caller, (Some(repo), name), secret).await
}

async fn set_all(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(secret): Json<NewSecret>,
) -> Result<StatusCode, Problem> {
    set(&api, &caller, (None, name), secret).await
}

async fn remove_own(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((repo, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let repo = repo_of(&api, &caller, &repo).await?.name;
    remove(&api, &caller, Some(repo), &name).await
}

async fn remove_all(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    remove(&api, &caller, None, &name).await
}

async fn list(api: &Api, repo: Option<String>) -> Result<axum::Json<Vec<SecretRecord>>, Problem> {
    let rows = api.store().secrets().list(Some(&scope(repo.as_deref()))).await?;
    let records = rows.iter().map(|row| SecretRecord::of(row, repo.clone()));
    Ok(axum::Json(records.collect()))
}

async fn set(
    api: &Api,
    caller: &Principal,
    (repo, name): (Option<String>, String),
    secret: NewSecret,
) -> Result<StatusCode, Problem> {
    if !is_secret_name(&name) {
        return Err(Problem::bad_request(
            "a secret is named with upper-case letters, digits and `_`, no digit first",
        ));
    }
    let fits = (1..=MAX_SECRET_BYTES).contains(&secret.text.len()) && !secret.text.contains('\0');
    if !fits {
        return Err(Problem::bad_request(format!(
            "`text` is 1 to {MAX_SECRET_BYTES} bytes without NUL"
        )));
    }
    api.commands().set_secret(repo.clone(), name.clone(), secret.text).await?;
    api.trail(caller, "secret.set", (&name, repo), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    api: &Api,
    caller: &Principal,
    repo: Option<String>,
    name: &str,
) -> Result<StatusCode, Problem> {
    if !api.store().secrets().forget(&scope(repo.as_deref()), name).await? {
        return Err(Problem::not_found("secret", name));
    }
    api.trail(caller, "secret.remove", (name, repo), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn scope(repo: Option<&str>) -> String {
    repo.map_or_else(|| EVERYWHERE.to_owned(), scope_of)
}
