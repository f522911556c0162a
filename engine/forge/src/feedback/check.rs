//! GitHub's checks: a status with a page of its own and annotations in the diff. Only a GitHub App may
//! write them.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{
    feedback::{
        client::Client, error::FeedbackError, http::ApiRequest, markdown::cut, status::State,
    },
    git::CommitId,
    limits::{ANNOTATIONS_PER_CALL, MAX_ANNOTATIONS, MAX_COMMENT_CHARS},
    provider::Provider,
};

/// GitHub's number of a check run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckId(pub u64);

/// Severity of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A remark without a problem.
    Notice,
    /// A problem that may be none.
    Warning,
    /// A problem that made the plan fail.
    Failure,
}

/// A remark at lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Path in the repository.
    pub path: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line, inclusive.
    pub end_line: u32,
    /// Severity of the remark.
    pub level: Level,
    /// A few words, such as an error code.
    pub title: String,
    /// Text of the remark.
    pub message: String,
}

/// A check of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Name for branch protections.
    pub name: String,
    /// Our own id: a check of the same commit and id is updated and not made again.
    pub external_id: String,
    /// The state to show.
    pub state: State,
    /// Address of the details page.
    pub url: Option<String>,
    /// Heading in one line.
    pub title: String,
    /// Markdown; what comes from outside must be escaped already.
    pub summary: String,
    /// Remarks; [`MAX_ANNOTATIONS`] at most are written.
    pub annotations: Vec<Annotation>,
}

pub(super) async fn put_check(
    client: &Client,
    repository: &str,
    commit: &CommitId,
    known: Option<CheckId>,
    check: &Check,
) -> Result<CheckId, FeedbackError> {
    if client.provider != Provider::GitHub {
        let forge = client.provider.as_str();
        return Err(FeedbackError::Unsupported { what: "a check", forge });
    }
    let count = check.annotations.len().min(MAX_ANNOTATIONS);
    let annotations = check.annotations.get(..count).unwrap_or_default();
    let (first, rest) = annotations.split_at(count.min(ANNOTATIONS_PER_CALL));
    let found = match known {
        Some(known) => Some(known),
        None => find_check(client, repository, commit, check).await?,
    };
    let id = match found {
        Some(id) => {
            write_check(client, repository, Some(id), check_body(check, first, None)).await?
        }
        None => {
            let body = check_body(check, first, Some(commit));
            match write_check(client, repository, None, body).await {
                Ok(id) => id,
                // It may have been made although the answer was lost.
                Err(error) => match find_check(client, repository, commit, check).await? {
                    Some(id) => id,
                    None => return Err(error),
                },
            }
        }
    };
    // GitHub adds the annotations of each call to those it has.
    for more in rest.chunks(ANNOTATIONS_PER_CALL) {
        write_check(client, repository, Some(id), check_body(check, more, None)).await?;
    }
    Ok(id)
}

async fn find_check(
    client: &Client,
    repository: &str,
    commit: &CommitId,
    check: &Check,
) -> Result<Option<CheckId>, FeedbackError> {
    let mut path = client.repository(repository);
    path.extend(["commits".to_owned(), commit.to_string(), "check-runs".to_owned()]);
    let query = vec![("check_name", check.name.clone()), ("per_page", "100".to_owned())];
    let (method, body) = (Method::GET, None);
    let what = "the checks of a commit";
    let answer =
        client.http.send(&ApiRequest { what, method, path, query, body, repeatable: true }).await?;
    let runs = answer.get("check_runs").and_then(Json::as_array);
    let ours = |run: &&Json| {
        run.get("external_id").and_then(Json::as_str) == Some(check.external_id.as_str())
    };
    let found = runs.and_then(|runs| runs.iter().find(ours));
    Ok(found.and_then(|run| run.get("id")?.as_u64()).map(CheckId))
}

async fn write_check(
    client: &Client,
    repository: &str,
    id: Option<CheckId>,
    body: Json,
) -> Result<CheckId, FeedbackError> {
    let what = "a check";
    let mut path = client.repository(repository);
    path.push("check-runs".to_owned());
    path.extend(id.map(|id| id.0.to_string()));
    let method = if id.is_some() { Method::PATCH } else { Method::POST };
    let ask = ApiRequest {
        what,
        method,
        path,
        query: Vec::new(),
        body: Some(body),
        repeatable: id.is_some(),
    };
    let answer = client.http.send(&ask).await?;
    let id = answer.get("id").and_then(Json::as_u64);
    id.map(CheckId).ok_or(FeedbackError::BadAnswer { what })
}

fn check_body(check: &Check, annotations: &[Annotation], commit: Option<&CommitId>) -> Json {
    let (status, conclusion) = match check.state {
        State::Pending => ("queued", None),
        State::Running => ("in_progress", None),
        State::Success => ("completed", Some("success")),
        State::Skipped => ("completed", Some("skipped")),
        State::Failure | State::Error => ("completed", Some("failure")),
        State::Cancelled => ("completed", Some("cancelled")),
    };
    let mut body = json!({
        "name": check.name,
        "external_id": check.external_id,
        "status": status,
        "output": {
            "title": check.title,
            "summary": cut(&check.summary, MAX_COMMENT_CHARS),
            "annotations": annotations.iter().map(annotation).collect::<Vec<_>>(),
        },
    });
    let optional = [
        ("conclusion", conclusion),
        ("details_url", check.url.as_deref()),
        ("head_sha", commit.map(CommitId::as_str)),
    ];
    if let Some(fields) = body.as_object_mut() {
        for (name, value) in optional {
            fields.extend(value.map(|value| (name.to_owned(), Json::from(value))));
        }
    }
    body
}

fn annotation(one: &Annotation) -> Json {
    let level = match one.level {
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Failure => "failure",
    };
    json!({
        "path": one.path,
        "start_line": one.start_line.max(1),
        "end_line": one.end_line.max(one.start_line).max(1),
        "annotation_level": level,
        "title": cut(&one.title, 255),
        "message": cut(&one.message, 16_000),
    })
}
