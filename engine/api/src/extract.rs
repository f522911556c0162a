//! Reading paths, queries and bodies of requests; what cannot be read is answered as a problem.
//!
//! Must not let a parameter through that a route does not know: a misspelt filter would filter
//! nothing.

use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use plue_plan::RunId;
use serde::de::DeserializeOwned;

use crate::{
    access::{Principal, Refusal},
    problem::Problem,
    server::Api,
};

/// The query, read strictly.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

/// The parameters of the path, parsed by the route's type.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

/// A JSON body.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

/// The principal that sent the request. Only behind routes that demand one.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let found = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        found.map(|found| Self(found.0)).map_err(|error| Problem::bad_request(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, api).await;
        found.map(|found| Self(found.0)).map_err(|error| Problem::bad_request(error.body_text()))
    }
}

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let found = axum::Json::<T>::from_request(request, api).await;
        found.map(|found| Self(found.0)).map_err(|error: JsonRejection| {
            let status = match error.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                other => other,
            };
            Problem::new(status, error.body_text())
        })
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| Refusal::Anonymous.into())
    }
}

/// A run that the caller may see.
///
/// # Errors
/// There is none, or none for this caller; the answer is the same.
pub async fn run_of(
    api: &Api,
    caller: &Principal,
    id: &str,
) -> Result<plue_store::RunRow, Problem> {
    let row = api.store().runs().get(&RunId::new(id)).await?;
    let unknown = || Problem::not_found("run", id);
    let row = row.ok_or_else(unknown)?;
    admitted(caller, row.repo.as_deref(), unknown)?;
    Ok(row)
}

/// Lets the caller do what he asks for to things of a repository.
///
/// # Errors
/// He sees none of them: `unknown`, as if there were none. He sees them and may do less.
pub fn admitted(
    caller: &Principal,
    repo: Option<&str>,
    unknown: impl FnOnce() -> Problem,
) -> Result<(), Problem> {
    match caller.role_in(repo) {
        None => Err(unknown()),
        Some(role) if role < caller.need() => Err(Refusal::Role(caller.need()).into()),
        Some(_) => Ok(()),
    }
}

/// The repositories that a list is about: the one that the caller asks for, or all of his; none: all.
///
/// # Errors
/// He does not see the one he asks for, or there is none; the answer is the same.
pub fn repos_of(caller: &Principal, asked: Option<String>) -> Result<Option<Vec<String>>, Problem> {
    let Some(asked) = asked else { return Ok(caller.repos()) };
    admitted(caller, Some(&asked), || Problem::not_found("repository", &asked))?;
    Ok(Some(vec![asked]))
}

/// A watched repository that the caller may see.
///
/// # Errors
/// There is none, or none for this caller; the answer is the same.
pub async fn repo_of(
    api: &Api,
    caller: &Principal,
    name: &str,
) -> Result<plue_store::RepoRow, Problem> {
    let unknown = || Problem::not_found("repository", name);
    admitted(caller, Some(name), unknown)?;
    api.store().repos().get(name).await?.ok_or_else(unknown)
}
