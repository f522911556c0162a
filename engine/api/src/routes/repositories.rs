//! Watched repositories: listed, added from a forge, removed. One on the server's own machine is added
//! and removed there, for its hook is a file.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, post},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Role},
    commands::RepoRequest,
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path, repo_of},
    problem::Problem,
    records::place::RepoRecord,
    removal::remove_repo,
    scope::is_repo_name,
    server::Api,
    watched::repo_record,
};

/// A commit that may run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AllowRequest {
    /// Its whole id.
    commit: String,
}

/// The repository that has a watched one's name now.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IdentityRequest {
    /// The forge's id of it, as the refused delivery had it.
    id: String,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/repositories",
        need: Need::Role(Role::Reader),
        summary: "Watched repositories, by name; the webhook's path only for admins",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<RepoRecord>>),
        route: || get(list),
    };
    vec![
        Endpoint {
            method: Method::Post,
            need: Need::Everywhere(Role::Admin),
            summary: "Watch a repository of a forge, or change what is known of it",
            body: Some(schema::<RepoRequest>),
            answer: Answer::Created(schema::<RepoRecord>),
            route: || post(add),
            ..list.clone()
        },
        Endpoint {
            method: Method::Delete,
            path: "/api/v1/repositories/{repository}",
            need: Need::Everywhere(Role::Admin),
            summary: "Stop watching a repository; its runs stay. Write `/` in its name as %2F",
            answer: Answer::Nothing,
            route: || delete(remove),
            ..list.clone()
        },
        Endpoint {
            method: Method::Post,
            path: "/api/v1/repositories/{repository}/allowed",
            need: Need::Role(Role::Maintainer),
            summary: "Let a commit of a fork run, without secrets, after somebody has read it",
            body: Some(schema::<AllowRequest>),
            answer: Answer::Nothing,
            route: || post(allow),
            ..list.clone()
        },
        Endpoint {
            method: Method::Post,
            path: "/api/v1/repositories/{repository}/identity",
            need: Need::Everywhere(Role::Admin),
            summary: "Take the repository that has the name now for the watched one",
            body: Some(schema::<IdentityRequest>),
            answer: Answer::Nothing,
            route: || post(confirm),
            ..list.clone()
        },
        list,
    ]
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
) -> Result<axum::Json<Vec<RepoRecord>>, Problem> {
    let rows = api.store().repos().list().await?;
    let mut records = Vec::new();
    for row in rows.iter().filter(|row| caller.sees(Some(&row.name))) {
        let mut record = repo_record(api.store(), row).await?;
        if caller.role_in(Some(&row.name)) < Some(Role::Admin) {
            // Half of a hook's credential.
            record.webhook = None;
        }
        records.push(record);
    }
    Ok(axum::Json(records))
}

async fn add(
    State(api): State<Api>,
    Caller(caller): Caller,
    Json(request): Json<RepoRequest>,
) -> Result<(StatusCode, axum::Json<RepoRecord>), Problem> {
    if !is_repo_name(&request.name) {
        return Err(Problem::bad_request("`name` is owner/name"));
    }
    if !matches!(request.forge.as_str(), "github" | "gitlab" | "gitea" | "forgejo") {
        return Err(Problem::bad_request("`forge` is github, gitlab, gitea or forgejo"));
    }
    let name = request.name.clone();
    let what = json!({"forge": request.forge, "default_branch": request.default_branch});
    api.commands().add_repo(request, caller.name.clone()).await?;
    api.trail(&caller, "repo.add", (&name, Some(name.clone())), what).await?;
    let row = repo_of(&api, &caller, &name).await?;
    Ok((StatusCode::CREATED, axum::Json(RepoRecord::of(&row))))
}

async fn remove(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let row = repo_of(&api, &caller, &name).await?;
    if row.forge == "local" {
        return Err(Problem::conflict(
            "it lies on the server's machine, with a hook: use `plue repo rm` there",
        ));
    }
    remove_repo(api.store(), &row.name).await?;
    api.trail(&caller, "repo.remove", (&name, Some(name.clone())), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn allow(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(request): Json<AllowRequest>,
) -> Result<StatusCode, Problem> {
    let row = repo_of(&api, &caller, &name).await?;
    let (commit, now) = (&request.commit, api.clock().now());
    if api.store().untrusted().allow(&row.name, commit, &caller.name, now).await? == 0 {
        return Err(Problem::not_found("held commit", commit));
    }
    api.trail(&caller, "commit.allow", (commit, Some(row.name)), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn confirm(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(request): Json<IdentityRequest>,
) -> Result<StatusCode, Problem> {
    let row = repo_of(&api, &caller, &name).await?;
    let (id, now) = (&request.id, api.clock().now());
    if !api.store().repos().confirm_identity(&row.name, id, now).await? {
        return Err(Problem::not_found("refused repository", id));
    }
    api.trail(&caller, "repo.confirm", (id, Some(row.name)), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}
