//! The pull request of a branch: opened once, then updated in place.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{
    feedback::{client::Client, error::FeedbackError, http::ApiRequest, markdown::cut},
    limits::MAX_COMMENT_CHARS,
    provider::Provider,
};

/// Pull requests of one page of a list.
const PER_PAGE: usize = 50;

/// A pull request from one branch of a repository to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestChange {
    /// Branch with the change, without `refs/heads/`.
    pub branch: String,
    /// Branch that it goes to.
    pub base: String,
    /// Head of `branch`.
    pub commit: String,
    /// Title of one line.
    pub title: String,
    /// Description in Markdown, cut at the limit of comments.
    pub text: String,
}

/// A pull request that the forge has.
struct Listed {
    number: u64,
    is_open: bool,
    commit: String,
}

pub(super) async fn put_pull_request(
    client: &Client,
    repository: &str,
    change: &PullRequestChange,
) -> Result<u64, FeedbackError> {
    if let Some(number) = known(client, repository, change).await? {
        return Ok(number);
    }
    let made = client.http.send(&opening(client, repository, change)).await;
    match made {
        Ok(answer) => number(client, &answer),
        // It may have been made although the answer was lost, or by another engine.
        Err(error) => match known(client, repository, change).await? {
            Some(number) => Ok(number),
            None => Err(error),
        },
    }
}

/// The number of a pull request of the branch that is open and was updated, or that people closed at this
/// commit.
async fn known(
    client: &Client,
    repository: &str,
    change: &PullRequestChange,
) -> Result<Option<u64>, FeedbackError> {
    let listed = list(client, repository, change).await?;
    if let Some(open) = listed.iter().find(|listed| listed.is_open) {
        client.http.send(&update(client, repository, open.number, change)).await?;
        return Ok(Some(open.number));
    }
    Ok(listed.iter().find(|listed| listed.commit == change.commit).map(|listed| listed.number))
}

async fn list(
    client: &Client,
    repository: &str,
    change: &PullRequestChange,
) -> Result<Vec<Listed>, FeedbackError> {
    let mut query = vec![("state", "all".to_owned())];
    query.extend(match client.provider {
        Provider::GitHub => {
            let owner = repository.split('/').next().unwrap_or_default();
            vec![
                ("head", format!("{owner}:{}", change.branch)),
                ("base", change.base.clone()),
                ("per_page", PER_PAGE.to_string()),
            ]
        }
        Provider::GitLab => vec![
            ("source_branch", change.branch.clone()),
            ("target_branch", change.base.clone()),
            ("per_page", PER_PAGE.to_string()),
        ],
        // Neither knows a filter by branch.
        Provider::Gitea | Provider::Forgejo => {
            vec![("sort", "recentupdate".to_owned()), ("limit", PER_PAGE.to_string())]
        }
    });
    let path = pulls(client, repository);
    let method = Method::GET;
    let what = "pull requests";
    let ask = ApiRequest { what, method, path, query, body: None, repeatable: true };
    let answer = client.http.send(&ask).await?;
    let entries = answer.as_array().ok_or(FeedbackError::BadAnswer { what })?;
    let is_gitlab = client.provider == Provider::GitLab;
    let text = |entry: &Json, at: &str| {
        entry.pointer(at).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    let listed = entries.iter().filter(|entry| {
        is_gitlab
            || text(entry, "/head/ref") == change.branch && text(entry, "/base/ref") == change.base
    });
    let listed = listed.map(|entry| {
        let commit = text(entry, if is_gitlab { "/sha" } else { "/head/sha" });
        let is_open = matches!(text(entry, "/state").as_str(), "open" | "opened");
        Ok(Listed { number: number(client, entry)?, is_open, commit })
    });
    listed.collect()
}

fn opening(client: &Client, repository: &str, change: &PullRequestChange) -> ApiRequest {
    let text = cut(&change.text, MAX_COMMENT_CHARS);
    let body = match client.provider {
        Provider::GitLab => json!({
            "source_branch": change.branch, "target_branch": change.base,
            "title": change.title, "description": text,
        }),
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => json!({
            "head": change.branch, "base": change.base, "title": change.title, "body": text,
        }),
    };
    request(Method::POST, pulls(client, repository), body, false)
}

fn update(
    client: &Client,
    repository: &str,
    number: u64,
    change: &PullRequestChange,
) -> ApiRequest {
    let mut path = pulls(client, repository);
    path.push(number.to_string());
    let text = cut(&change.text, MAX_COMMENT_CHARS);
    match client.provider {
        Provider::GitLab => {
            let body = json!({ "title": change.title, "description": text });
            request(Method::PUT, path, body, true)
        }
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => {
            let body = json!({ "title": change.title, "body": text });
            request(Method::PATCH, path, body, true)
        }
    }
}

fn request(method: Method, path: Vec<String>, body: Json, repeatable: bool) -> ApiRequest {
    let (what, query) = ("a pull request", Vec::new());
    ApiRequest { what, method, path, query, body: Some(body), repeatable }
}

fn pulls(client: &Client, repository: &str) -> Vec<String> {
    let mut path = client.repository(repository);
    path.push(match client.provider {
        Provider::GitLab => "merge_requests".to_owned(),
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => "pulls".to_owned(),
    });
    path
}

fn number(client: &Client, entry: &Json) -> Result<u64, FeedbackError> {
    let name = if client.provider == Provider::GitLab { "iid" } else { "number" };
    let number = entry.get(name).and_then(Json::as_u64);
    number.ok_or(FeedbackError::BadAnswer { what: "a pull request" })
}
