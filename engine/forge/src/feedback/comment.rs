//! The one comment of a key on a pull request or issue: created once, then updated in place.
//!
//! A marker in its first line, invisible to readers, identifies it. The oldest comment with the
//! marker is plue's: copies of the marker come later.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::feedback::thread::thread_path;
use crate::{
    feedback::{
        client::Client, error::FeedbackError, http::ApiRequest, markdown::cut, thread::Thread,
    },
    limits::{MAX_COMMENT_CHARS, MAX_COMMENT_PAGES},
    provider::Provider,
};

/// Comments of one page.
const PER_PAGE: usize = 50;

/// The forge's number of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommentId(pub u64);

pub(super) async fn put_comment(
    client: &Client,
    repository: &str,
    thread: Thread,
    known: Option<CommentId>,
    key: &str,
    text: &str,
) -> Result<CommentId, FeedbackError> {
    let marker = marker(key);
    let text = format!("{marker}\n{}", cut(text, MAX_COMMENT_CHARS));
    if let Some(known) = known
        && update(client, repository, thread, known, &text).await?
    {
        return Ok(known);
    }
    for found in find(client, repository, thread, &marker).await? {
        if update(client, repository, thread, found, &text).await? {
            return Ok(found);
        }
    }
    let made = create(client, repository, thread, &text).await;
    let Err(error) = made else { return made };
    if error.retry_after().is_none()
        && !matches!(error, FeedbackError::Refused { status: 500.., .. })
    {
        return Err(error);
    }
    // It may have been made although the answer was lost.
    match find(client, repository, thread, &marker).await?.first() {
        Some(found) => Ok(*found),
        None => Err(error),
    }
}

/// False if it is gone, or is not ours to change.
async fn update(
    client: &Client,
    repository: &str,
    thread: Thread,
    id: CommentId,
    text: &str,
) -> Result<bool, FeedbackError> {
    let mut path = comments(client, repository, thread, Some(id));
    path.push(id.0.to_string());
    let method = match client.provider {
        Provider::GitLab => Method::PUT,
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => Method::PATCH,
    };
    let ask = request("a comment", method, path, Some(text), true);
    match client.http.send(&ask).await {
        Ok(_) => Ok(true),
        Err(FeedbackError::Refused { status: 403 | 404 | 410, .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

async fn create(
    client: &Client,
    repository: &str,
    thread: Thread,
    text: &str,
) -> Result<CommentId, FeedbackError> {
    let what = "a comment";
    let path = comments(client, repository, thread, None);
    let answer = client.http.send(&request(what, Method::POST, path, Some(text), false)).await?;
    let id = answer.get("id").and_then(Json::as_u64);
    id.map(CommentId).ok_or(FeedbackError::BadAnswer { what })
}

/// Comments that begin with the marker, the oldest first.
async fn find(
    client: &Client,
    repository: &str,
    thread: Thread,
    marker: &str,
) -> Result<Vec<CommentId>, FeedbackError> {
    let mut found = Vec::new();
    let mut first_of_page = None;
    for page in 1..=MAX_COMMENT_PAGES {
        let path = comments(client, repository, thread, None);
        let mut ask = request("the comments", Method::GET, path, None, true);
        ask.query = vec![
            ("per_page", PER_PAGE.to_string()),
            ("limit", PER_PAGE.to_string()),
            ("page", page.to_string()),
        ];
        if client.provider == Provider::GitLab {
            ask.query.extend([("sort", "asc".to_owned()), ("order_by", "created_at".to_owned())]);
        }
        let answer = client.http.send(&ask).await?;
        let comments = answer.as_array().map_or(&[][..], Vec::as_slice);
        found.extend(comments.iter().filter_map(|comment| own_comment(client, comment, marker)));
        // Gitea before 1.24 knows no pages here and gives everything each time.
        let first = comments.first().and_then(|comment| comment.get("id")?.as_u64());
        if comments.len() < PER_PAGE || first == first_of_page {
            break;
        }
        first_of_page = first;
    }
    found.sort_unstable();
    found.dedup();
    Ok(found.into_iter().map(CommentId).collect())
}

fn own_comment(client: &Client, comment: &Json, marker: &str) -> Option<u64> {
    let body = comment.get("body")?.as_str()?;
    let author = comment.get("user").or_else(|| comment.get("author"));
    let author = author.and_then(|user| user.get("login").or_else(|| user.get("username")));
    let login = client.login.as_deref();
    let by_us = login.is_none_or(|login| author.and_then(Json::as_str) == Some(login));
    let id = comment.get("id")?.as_u64()?;
    (by_us && body.starts_with(marker)).then_some(id)
}

/// The path of the comments of a thread, or of one comment without its number.
fn comments(
    client: &Client,
    repository: &str,
    thread: Thread,
    one: Option<CommentId>,
) -> Vec<String> {
    let (mut path, end) = match (client.provider, one) {
        (Provider::GitLab, _) => (thread_path(client, repository, thread), "notes"),
        (Provider::GitHub | Provider::Gitea | Provider::Forgejo, None) => {
            (thread_path(client, repository, thread), "comments")
        }
        (Provider::GitHub | Provider::Gitea | Provider::Forgejo, Some(_)) => {
            let mut path = client.repository(repository);
            path.push("issues".to_owned());
            (path, "comments")
        }
    };
    path.push(end.to_owned());
    path
}

fn request(
    what: &'static str,
    method: Method,
    path: Vec<String>,
    text: Option<&str>,
    repeatable: bool,
) -> ApiRequest {
    let body = text.map(|text| json!({"body": text}));
    ApiRequest { what, method, path, query: Vec::new(), body, repeatable }
}

/// Beginning of every comment of plue's.
const MARK: &str = "<!-- plue:";

/// True if plue wrote the comment, or a person copied its first line: it starts nothing.
#[must_use]
pub fn is_own_comment(body: &str) -> bool {
    body.trim_start().starts_with(MARK)
}

/// A comment of HTML's, which Markdown does not show.
fn marker(key: &str) -> String {
    let plain: String =
        key.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    format!("{MARK}{plain} -->")
}
