//! Secrets: their names listed, set, removed. No answer ever holds a text.

use axum::{
    extract::State,
    http::StatusCode,
    routing::{delete, get, put},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use plue_store::secret::{EVERYWHERE, MAX_SECRET_BYTES};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::schema;
use crate::{
    access::{Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Json, Path, Query, repo_of},
    problem::Problem,
    records::resources::SecretRecord,
    scope::{is_secret_name, scope_of},
    server::Api,
};

/// A new secret: sealed at once, never shown again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    /// Its bytes as text; either this or `base64`.
    #[serde(default)]
    text: Option<String>,
    /// Its bytes in base64 (RFC 4648 §4).
    #[serde(default)]
    base64: Option<String>,
}

/// Filters of the list of secrets that belong to no repository.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    all: bool,
}

/// The owner of secrets, in the store and in answers.
struct Owner {
    scope: String,
    /// `None`: all repositories.
    repo: Option<String>,
}

const ALL: Parameter = Parameter {
    name: "all",
    kind: "boolean",
    means: "`true`: also the secrets of each repository",
};

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
        summary: "The names of the secrets that every repository may use; with `all` those of repositories too",
        query: &[ALL],
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
    list(&api, owner_of(&api, &caller, repo).await?).await
}

async fn list_all(
    State(api): State<Api>,
    Query(filter): Query<Filter>,
) -> Result<axum::Json<Vec<SecretRecord>>, Problem> {
    if !filter.all {
        return list(&api, everywhere()).await;
    }
    let rows = api.store().secrets().list(None).await?;
    let records = rows.iter().filter_map(|row| {
        // Scopes of hooks and webhooks are none that a step may name.
        let repo = match row.scope.split_once(':') {
            Some(("repo", repo)) => Some(repo.to_owned()),
            Some(("hook" | "webhook", _)) => return None,
            _ if row.scope == EVERYWHERE => None,
            _ => Some(row.scope.clone()),
        };
        Some(SecretRecord::of(row, repo))
    });
    Ok(axum::Json(records.collect()))
}

async fn set_own(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((repo, name)): Path<(String, String)>,
    Json(secret): Json<NewSecret>,
) -> Result<StatusCode, Problem> {
    let owner = owner_of(&api, &caller, repo).await?;
    set(&api, &caller, owner, name, secret).await
}

async fn set_all(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(secret): Json<NewSecret>,
) -> Result<StatusCode, Problem> {
    set(&api, &caller, everywhere(), name, secret).await
}

async fn remove_own(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((repo, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let owner = owner_of(&api, &caller, repo).await?;
    remove(&api, &caller, owner, &name).await
}

async fn remove_all(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    remove(&api, &caller, everywhere(), &name).await
}

async fn list(api: &Api, owner: Owner) -> Result<axum::Json<Vec<SecretRecord>>, Problem> {
    let rows = api.store().secrets().list(Some(&owner.scope)).await?;
    let records = rows.iter().map(|row| SecretRecord::of(row, owner.repo.clone()));
    Ok(axum::Json(records.collect()))
}

async fn set(
    api: &Api,
    caller: &Principal,
    owner: Owner,
    name: String,
    secret: NewSecret,
) -> Result<StatusCode, Problem> {
    if !is_secret_name(&name) {
        return Err(Problem::bad_request(
            "a secret is named with upper-case letters, digits and `_`, no digit first",
        ));
    }
    let text = secret.bytes()?;
    let fits = (1..=MAX_SECRET_BYTES).contains(&text.len()) && !text.contains(&0);
    if !fits {
        return Err(Problem::bad_request(format!(
            "a secret has 1 to {MAX_SECRET_BYTES} bytes without NUL"
        )));
    }
    let Owner { scope, repo } = owner;
    api.commands().set_secret(scope, name.clone(), text).await?;
    api.trail(caller, "secret.set", (&name, repo), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    api: &Api,
    caller: &Principal,
    owner: Owner,
    name: &str,
) -> Result<StatusCode, Problem> {
    if !api.store().secrets().forget(&owner.scope, name).await? {
        return Err(Problem::not_found("secret", name));
    }
    api.trail(caller, "secret.remove", (name, owner.repo), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The owner that a path names: a watched repository, or for commands of this machine a folder.
async fn owner_of(api: &Api, caller: &Principal, repo: String) -> Result<Owner, Problem> {
    if caller.is_local() && std::path::Path::new(&repo).is_absolute() {
        return Ok(Owner { scope: repo.clone(), repo: Some(repo) });
    }
    let repo = repo_of(api, caller, &repo).await?.name;
    Ok(Owner { scope: scope_of(&repo), repo: Some(repo) })
}

fn everywhere() -> Owner {
    Owner { scope: EVERYWHERE.to_owned(), repo: None }
}

// === impl NewSecret ===

impl NewSecret {
    fn bytes(self) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(encoded)) => {
                let encoded = Zeroizing::new(encoded);
                let bytes = BASE64_STANDARD.decode(&*encoded);
                // The error names a byte of the secret.
                bytes.map_err(|_| Problem::bad_request("`base64` is not base64"))?
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(Problem::bad_request("either `text` or `base64`"));
            }
        };
        Ok(Zeroizing::new(bytes))
    }
}
