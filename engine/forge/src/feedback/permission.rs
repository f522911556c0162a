//! A user's permission to write to a repository, as its forge reports it.

use reqwest::Method;
use serde_json::Value as Json;

use crate::{
    feedback::{client::Client, error::FeedbackError, http::ApiRequest},
    provider::Provider,
};

/// GitLab's number of the role Developer, which may push.
const DEVELOPER: u64 = 30;

pub(super) async fn may_write(
    client: &Client,
    repository: &str,
    login: &str,
    id: Option<u64>,
) -> Result<bool, FeedbackError> {
    let mut path = client.repository(repository);
    if client.provider != Provider::GitLab {
        path.extend(["collaborators", login, "permission"].map(str::to_owned));
        let answer = read(client, path, Vec::new()).await?;
        let permission = answer.as_ref().and_then(|answer| answer.get("permission")?.as_str());
        return Ok(matches!(permission, Some("admin" | "maintain" | "write" | "owner")));
    }
    let id = match id {
        Some(id) => Some(id),
        None => user_id(client, login).await?,
    };
    let Some(id) = id else { return Ok(false) };
    path.extend(["members".to_owned(), "all".to_owned(), id.to_string()]);
    let member = read(client, path, Vec::new()).await?;
    let field = |name: &str| member.as_ref().and_then(|member| member.get(name));
    let level = field("access_level").and_then(Json::as_u64).unwrap_or(0);
    let is_active = field("state").and_then(Json::as_str).is_none_or(|state| state == "active");
    Ok(level >= DEVELOPER && is_active)
}

async fn user_id(client: &Client, login: &str) -> Result<Option<u64>, FeedbackError> {
    let query = vec![("username", login.to_owned())];
    let users = read(client, vec!["users".to_owned()], query).await?;
    let users = users.as_ref().and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_named = |user: &&Json| user.get("username").and_then(Json::as_str) == Some(login);
    Ok(users.iter().find(is_named).and_then(|user| user.get("id")?.as_u64()))
}

/// `None`: there is no such thing, or not for this token.
async fn read(
    client: &Client,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
) -> Result<Option<Json>, FeedbackError> {
    let what = "a person's permission";
    let ask = ApiRequest { what, method: Method::GET, path, query, body: None, repeatable: true };
    match client.http.send(&ask).await {
        Err(FeedbackError::Refused { status: 404, .. }) => Ok(None),
        answer => answer.map(Some),
    }
}
