//! Labels of one pull request or issue: added and removed by name. Both may be done again.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::feedback::thread::thread_path;
use crate::{
    feedback::{client::Client, error::FeedbackError, http::ApiRequest, thread::Thread},
    provider::Provider,
};

pub(super) async fn change_labels(
    client: &Client,
    repository: &str,
    thread: Thread,
    add: &[String],
    remove: &[String],
) -> Result<(), FeedbackError> {
    if client.provider == Provider::GitLab {
        let path = thread_path(client, repository, thread);
        let body = json!({ "add_labels": add.join(","), "remove_labels": remove.join(",") });
        let ask = request("labels", Method::PUT, path, Some(body));
        return client.http.send(&ask).await.map(drop);
    }
    let path = || {
        let mut path = thread_path(client, repository, thread);
        path.push("labels".to_owned());
        path
    };
    if !add.is_empty() {
        let ask = request("labels", Method::POST, path(), Some(json!({ "labels": add })));
        client.http.send(&ask).await?;
    }
    if remove.is_empty() {
        return Ok(());
    }
    let there = client.http.send(&request("the labels", Method::GET, path(), None)).await?;
    for label in there.as_array().into_iter().flatten() {
        let name = label.get("name").and_then(Json::as_str).unwrap_or_default();
        if !remove.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)) {
            continue;
        }
        // Gitea knows labels of an issue by number only.
        let id = label.get("id").and_then(Json::as_u64).map(|id| id.to_string());
        let last = match client.provider {
            Provider::GitHub | Provider::GitLab => Some(name.to_owned()),
            Provider::Gitea | Provider::Forgejo => id,
        };
        let last = last.ok_or(FeedbackError::BadAnswer { what: "the labels" })?;
        let mut path = path();
        path.push(last);
        match client.http.send(&request("a label", Method::DELETE, path, None)).await {
            Ok(_) | Err(FeedbackError::Refused { status: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn request(
    what: &'static str,
    method: Method,
    path: Vec<String>,
    body: Option<Json>,
) -> ApiRequest {
    ApiRequest { what, method, path, query: Vec::new(), body, repeatable: true }
}
