//! Watched repositories: listed, added, removed. Only commands of the server's machine add and remove a
//! repository that is there: its hooks are files.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, post},
};
use plue_store::RepoRow;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    commands::{RepoAuthor, RepoRequest},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path, repo_of},
    problem::Problem,
    records::resources::{CallSecretRecord, RepoRecord},
    removal::remove_repo,
    scope::{CALL_SECRET, hook_scope_of, is_repo_name},
    server::Api,
    watched::repo_record,
};

/// A commit that may run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AllowRequest {
    /// Its whole id, 40 or 64 hex digits.
    commit: String,
}

/// A secret for calls of named webhooks (`on_webhook`).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallSecretRequest {
    /// Secrets, one a line; absent: a new one is generated.
    #[serde(default)]
    secret: Option<String>,
}

/// Prefix of the key of a Standard Webhooks secret.
const CALL_SECRET_PREFIX: &str = "whsec_";

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
            summary: "Let a commit of a fork run, without secrets, after a review",
            body: Some(schema::<AllowRequest>),
            answer: Answer::Nothing,
            route: || post(allow),
            ..list.clone()
        },
        Endpoint {
            method: Method::Post,
            path: "/api/v1/repositories/{repository}/call-secret",
            need: Need::Everywhere(Role::Admin),
            summary: "Set the secret that verifies calls of a repository's named webhooks",
            body: Some(schema::<CallSecretRequest>),
            answer: Answer::Json(schema::<CallSecretRecord>),
            route: || post(set_call_secret),
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
        record.hook = hook_of(&caller, row);
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
    let is_known = match request.forge.as_str() {
        "github" | "gitlab" | "gitea" | "forgejo" => true,
        "local" => caller.is_local(),
        _ => false,
    };
    if !is_known {
        return Err(Problem::bad_request("`forge` is github, gitlab, gitea or forgejo"));
    }
    let name = request.name.clone();
    let what = json!({"forge": request.forge, "default_branch": request.default_branch});
    let author = RepoAuthor { name: caller.name.clone(), is_local: caller.is_local() };
    api.commands().add_repo(request, author).await?;
    api.trail(&caller, "repo.add", (&name, Some(name.clone())), what).await?;
    let row = repo_of(&api, &caller, &name).await?;
    let record = RepoRecord { hook: hook_of(&caller, &row), ..RepoRecord::of(&row) };
    Ok((StatusCode::CREATED, axum::Json(record)))
}

/// The name of the hooks of a repository on this machine, for its commands.
fn hook_of(caller: &Principal, row: &RepoRow) -> Option<String> {
    (caller.is_local() && row.forge == "local").then(|| row.hook.clone())
}

async fn remove(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let row = repo_of(&api, &caller, &name).await?;
    if row.forge == "local" && !caller.is_local() {
        return Err(Problem::conflict(
            "it lies on the server's machine, with a hook: use `plue repo rm` there",
        ));
    }
    remove_repo(api.store(), &row.name).await?;
    api.trail(&caller, "repo.remove", (&name, Some(name.clone())), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_call_secret(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(request): Json<CallSecretRequest>,
) -> Result<axum::Json<CallSecretRecord>, Problem> {
    let row = repo_of(&api, &caller, &name).await?;
    let given = request.secret.map(Zeroizing::new);
    let is_blank = given.as_ref().is_some_and(|secret| secret.trim().is_empty());
    if is_blank {
        return Err(Problem::bad_request("`secret` is empty"));
    }
    let fresh = match &given {
        Some(_) => None,
        None => Some(format!("{CALL_SECRET_PREFIX}{}", api.ids().secret())),
    };
    let text = given.as_ref().map(|secret| secret.trim()).or(fresh.as_deref());
    let text = Zeroizing::new(text.unwrap_or_default().as_bytes().to_vec());
    let scope = hook_scope_of(&row.name);
    api.commands().set_secret(scope, CALL_SECRET.to_owned(), text).await?;
    api.trail(&caller, "repo.webhook", (&row.name, Some(row.name.clone())), json!({})).await?;
    Ok(axum::Json(CallSecretRecord { secret: fresh }))
}

async fn allow(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(request): Json<AllowRequest>,
) -> Result<StatusCode, Problem> {
    allow_commit(&api, &caller, &name, &request.commit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a commit of a fork run, for a caller who may.
///
/// # Errors
/// No delivery of this commit waits, or the caller may not.
pub(crate) async fn allow_commit(
    api: &Api,
    caller: &Principal,
    repo: &str,
    commit: &str,
) -> Result<(), Problem> {
    let row = repo_of(api, caller, repo).await?;
    let now = api.clock().now();
    if api.store().untrusted().allow(&row.name, commit, &caller.name, now).await? == 0 {
        return Err(Problem::not_found("held commit", commit));
    }
    api.trail(caller, "commit.allow", (commit, Some(row.name)), json!({})).await
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
