//! Statuses, checks and comments against a scripted forge on this machine.

use std::time::Duration;

use plue_forge::{
    Client, CommitId, FeedbackError, Provider,
    feedback::{
        Annotation, Check, CheckId, ClientOptions, CommentId, CommitStatus, Level, State, Thread,
    },
};
use plue_runtime::Clock;
use serde_json::{Value as Json, json};

use crate::fake::{Fake, Reply};

const REPO: &str = "group/sub repo";

fn options() -> ClientOptions {
    ClientOptions {
        attempts: 3,
        backoff: Duration::from_millis(1),
        longest_wait: Duration::from_secs(2),
        timeout: Duration::from_secs(20),
        allow_http: true,
        login: None,
    }
}

fn client(provider: Provider, fake: &Fake) -> Client {
    Client::new(provider, &fake.address("/api"), "t0ken", Clock::real(), options()).unwrap()
}

fn commit() -> CommitId {
    CommitId::new(&"ab".repeat(20)).unwrap()
}

fn status(state: State) -> CommitStatus {
    CommitStatus {
        context: "plue / CI".to_owned(),
        state,
        description: "é".repeat(200),
        url: Some("https://ci.example/runs/1".to_owned()),
    }
}

/// Sends one status to the scripted forge.
async fn send(provider: Provider, fake: &Fake, state: State) -> Result<(), FeedbackError> {
    client(provider, fake).set_status(REPO, &commit(), &status(state)).await
}

#[tokio::test]
async fn statuses_use_the_terms_of_each_forge() {
    for (provider, path, header, state, word) in [
        (
            Provider::GitHub,
            "/api/repos/group/sub%20repo",
            "bearer t0ken",
            State::Running,
            "pending",
        ),
        (Provider::GitLab, "/api/projects/group%2Fsub%20repo", "t0ken", State::Running, "running"),
        (Provider::GitLab, "/api/projects/group%2Fsub%20repo", "t0ken", State::Failure, "failed"),
        (Provider::Gitea, "/api/repos/group/sub%20repo", "token t0ken", State::Failure, "failure"),
        (
            Provider::Forgejo,
            "/api/repos/group/sub%20repo",
            "token t0ken",
            State::Skipped,
            "success",
        ),
        (
            Provider::GitHub,
            "/api/repos/group/sub%20repo",
            "bearer t0ken",
            State::Cancelled,
            "error",
        ),
    ] {
        let fake = Fake::start([Reply::ok(json!({}))]).await;
        send(provider, &fake, state).await.unwrap();
        let seen = fake.seen();
        assert_eq!(seen[0].line, format!("POST {path}/statuses/{}", commit()), "{provider}");
        let name = if provider == Provider::GitLab { "private-token" } else { "authorization" };
        assert_eq!(seen[0].header(name).to_lowercase(), header, "{provider}");
        let body = &seen[0].body;
        assert_eq!(body["state"], word, "{provider}");
        let context = if provider == Provider::GitLab { "name" } else { "context" };
        assert_eq!(body[context], "plue / CI");
        assert_eq!(body["description"].as_str().unwrap().chars().count(), 140);
        assert_eq!(body["target_url"], "https://ci.example/runs/1");
    }
}

#[tokio::test]
async fn transient_forge_errors_are_retried_within_bounds() {
    let ok = Reply::ok(json!({}));
    let fake = Fake::start([Reply::of(502, "oops"), Reply::of(500, ""), ok]).await;
    let sent = send(Provider::GitHub, &fake, State::Success);
    sent.await.unwrap();
    assert_eq!(fake.seen().len(), 3);
    let fake = Fake::start([Reply::of(500, ""), Reply::of(500, ""), Reply::of(503, "")]).await;
    let sent = send(Provider::Gitea, &fake, State::Success);
    let error = sent.await.unwrap_err();
    assert!(matches!(error, FeedbackError::Later { status: 503, .. }), "{error}");
    assert!(error.retry_after().is_some());
}

#[tokio::test]
async fn retry_after_is_obeyed_or_returned() {
    let soon = Reply::of(429, "").with("Retry-After", "0");
    let fake = Fake::start([soon, Reply::ok(json!({}))]).await;
    let sent = send(Provider::GitHub, &fake, State::Success);
    sent.await.unwrap();
    // GitHub's second limit comes as 403.
    let late = Reply::of(403, r#"{"message":"secondary rate limit"}"#).with("Retry-After", "3600");
    let fake = Fake::start([late]).await;
    let sent = send(Provider::GitHub, &fake, State::Success);
    let error = sent.await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn refusals_are_final_with_a_reason() {
    let no = Reply::of(403, r#"{"message":"Resource not accessible\u0007 by integration"}"#);
    let fake = Fake::start([no]).await;
    let sent = send(Provider::GitHub, &fake, State::Success);
    let error = sent.await.unwrap_err();
    assert_eq!(error.retry_after(), None);
    assert!(error.to_string().contains("Resource not accessible  by integration"), "{error}");
    assert!(!format!("{error:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let moved = Reply::of(301, "").with("Location", "http://127.0.0.1:9/elsewhere");
    let fake = Fake::start([moved]).await;
    let sent = send(Provider::GitLab, &fake, State::Success);
    let error = sent.await.unwrap_err();
    assert!(matches!(error, FeedbackError::Refused { status: 301, .. }), "{error}");
}

#[tokio::test]
async fn gitlab_may_answer_that_a_status_exists() {
    let body = r#"{"message":"Cannot transition status via :run from :running"}"#;
    let fake = Fake::start([Reply::of(400, body)]).await;
    let sent = send(Provider::GitLab, &fake, State::Running);
    sent.await.unwrap();
}

#[tokio::test]
async fn comments_are_created_once_then_edited() {
    for (provider, list, one, method) in [
        (Provider::GitHub, "repos/o/r/issues/7/comments", "repos/o/r/issues/comments/42", "PATCH"),
        (Provider::Gitea, "repos/o/r/issues/7/comments", "repos/o/r/issues/comments/42", "PATCH"),
        (Provider::Forgejo, "repos/o/r/issues/7/comments", "repos/o/r/issues/comments/42", "PATCH"),
        (
            Provider::GitLab,
            "projects/o%2Fr/merge_requests/7/notes",
            "projects/o%2Fr/merge_requests/7/notes/42",
            "PUT",
        ),
    ] {
        let made = Reply::ok(json!({"id": 42}));
        let fake = Fake::start([Reply::ok(json!([])), made, Reply::ok(json!({"id": 42}))]).await;
        let client = client(provider, &fake);
        let id = client
            .put_comment("o/r", Thread::PullRequest(7), None, "plans", "first")
            .await
            .unwrap();
        assert_eq!(id, CommentId(42));
        let again = client
            .put_comment("o/r", Thread::PullRequest(7), Some(id), "plans", "second")
            .await
            .unwrap();
        assert_eq!(again, id);
        let seen = fake.seen();
        assert!(seen[0].line.starts_with(&format!("GET /api/{list}?")), "{}", seen[0].line);
        assert_eq!(seen[1].line, format!("POST /api/{list}"));
        assert_eq!(seen[1].body["body"], "<!-- plue:plans -->\nfirst");
        assert_eq!(seen[2].line, format!("{method} /api/{one}"));
        assert_eq!(seen[2].body["body"], "<!-- plue:plans -->\nsecond");
    }
}

#[tokio::test]
async fn own_comments_are_found_by_leading_marker() {
    let comments = json!([
        {"id": 3, "body": "look: <!-- plue:plans -->", "user": {"login": "eve"}},
        {"id": 9, "body": "<!-- plue:plans -->\ncopied", "user": {"login": "eve"}},
        {"id": 5, "body": "<!-- plue:plans -->\nours", "user": {"login": "plue"}},
        {"id": 4, "body": "<!-- plue:other -->\nours", "user": {"login": "plue"}},
    ]);
    let fake = Fake::start([Reply::ok(comments.clone()), Reply::ok(json!({"id": 5}))]).await;
    let found = client(Provider::GitHub, &fake)
        .put_comment("o/r", Thread::PullRequest(7), None, "plans", "x")
        .await;
    assert_eq!(found.unwrap(), CommentId(5), "the oldest is ours");
    let fake = Fake::start([Reply::ok(comments), Reply::ok(json!({"id": 9}))]).await;
    let options = ClientOptions { login: Some("eve".to_owned()), ..options() };
    let eve = Client::new(Provider::GitHub, &fake.address("/api"), "t", Clock::real(), options);
    let found = eve.unwrap().put_comment("o/r", Thread::PullRequest(7), None, "plans", "x").await;
    assert_eq!(found.unwrap(), CommentId(9));
}

#[tokio::test]
async fn a_comment_on_a_later_page_is_found() {
    let page = |from: u64| -> Json {
        (from..from + 50).map(|id| json!({"id": id, "body": "chatter"})).collect()
    };
    let last = json!([{"id": 500, "body": "<!-- plue:plans -->\nours"}]);
    let replies = [page(0), page(50), last, json!({"id": 500})].map(Reply::ok);
    let fake = Fake::start(replies).await;
    let found = client(Provider::GitHub, &fake)
        .put_comment("o/r", Thread::PullRequest(7), None, "plans", "x")
        .await;
    assert_eq!(found.unwrap(), CommentId(500));
    // A forge without pages gives the same again.
    let fake = Fake::start([page(0), page(0), json!({"id": 1_000})].map(Reply::ok)).await;
    let found = client(Provider::Gitea, &fake)
        .put_comment("o/r", Thread::PullRequest(7), None, "plans", "x")
        .await;
    assert_eq!(found.unwrap(), CommentId(1_000));
}

#[tokio::test]
async fn a_deleted_comment_is_made_again() {
    let made = Reply::ok(json!({"id": 8}));
    let fake = Fake::start([Reply::of(404, "{}"), Reply::ok(json!([])), made]).await;
    let known = Some(CommentId(5));
    let found = client(Provider::GitHub, &fake)
        .put_comment("o/r", Thread::PullRequest(7), known, "plans", "x")
        .await;
    assert_eq!(found.unwrap(), CommentId(8));
}

#[tokio::test]
async fn comments_with_lost_answers_are_not_duplicated() {
    let ours = json!([{"id": 8, "body": "<!-- plue:plans -->\nx"}]);
    let replies = [Reply::ok(json!([])), Reply::of(502, ""), Reply::ok(ours)];
    let fake = Fake::start(replies).await;
    let found = client(Provider::GitHub, &fake)
        .put_comment("o/r", Thread::PullRequest(7), None, "plans", "x")
        .await;
    assert_eq!(found.unwrap(), CommentId(8));
    let posts = fake.seen().iter().filter(|seen| seen.line.starts_with("POST")).count();
    assert_eq!(posts, 1);
    let replies = [Reply::ok(json!([])), Reply::cut(), Reply::ok(json!([]))];
    let fake = Fake::start(replies).await;
    let failed = client(Provider::GitHub, &fake)
        .put_comment("o/r", Thread::PullRequest(7), None, "plans", "x")
        .await;
    assert!(failed.unwrap_err().retry_after().is_some());
}

fn check(annotations: usize) -> Check {
    let annotation = |line: usize| Annotation {
        path: "src/a.rs".to_owned(),
        start_line: u32::try_from(line).unwrap(),
        end_line: 0,
        level: Level::Failure,
        title: "PLUE-P0001".to_owned(),
        message: "wrong".to_owned(),
    };
    Check {
        name: "plue / CI".to_owned(),
        external_id: "run-1".to_owned(),
        state: State::Failure,
        url: None,
        title: "1 step failed".to_owned(),
        summary: "text".to_owned(),
        annotations: (0..annotations).map(annotation).collect(),
    }
}

#[tokio::test]
async fn a_check_is_made_with_all_its_annotations() {
    let none = json!({"check_runs": [{"id": 1, "external_id": "another"}]});
    let id = || json!({"id": 77});
    let fake = Fake::start([none, id(), id(), id()].map(Reply::ok)).await;
    let made = client(Provider::GitHub, &fake).put_check("o/r", &commit(), None, &check(120)).await;
    assert_eq!(made.unwrap(), CheckId(77));
    let seen = fake.seen();
    assert!(seen[0].line.contains("check_name=plue+%2F+CI"), "{}", seen[0].line);
    assert_eq!(seen[1].line, "POST /api/repos/o/r/check-runs");
    assert_eq!(seen[1].body["head_sha"], commit().as_str());
    assert_eq!(
        (&seen[1].body["status"], &seen[1].body["conclusion"]),
        (&json!("completed"), &json!("failure"))
    );
    let counts: Vec<usize> = seen[1..]
        .iter()
        .map(|seen| seen.body["output"]["annotations"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [50, 50, 20]);
    assert_eq!(seen[1].body["output"]["annotations"][0]["start_line"], 1);
    assert_eq!(seen[2].line, "PATCH /api/repos/o/r/check-runs/77");
}

#[tokio::test]
async fn existing_checks_are_updated() {
    let found = json!({"check_runs": [{"id": 5, "external_id": "run-1"}]});
    let fake = Fake::start([found, json!({"id": 5})].map(Reply::ok)).await;
    let made = client(Provider::GitHub, &fake).put_check("o/r", &commit(), None, &check(0)).await;
    assert_eq!(made.unwrap(), CheckId(5));
    assert_eq!(fake.seen()[1].line, "PATCH /api/repos/o/r/check-runs/5");
    let fake = Fake::start([]).await;
    let made = client(Provider::Gitea, &fake).put_check("o/r", &commit(), None, &check(0)).await;
    assert!(matches!(made, Err(FeedbackError::Unsupported { .. })));
}

#[test]
fn only_addresses_of_an_api_are_taken() {
    let new = |address: &str, allow_http| {
        let options = ClientOptions { allow_http, ..options() };
        Client::new(Provider::GitHub, address, "t0ken", Clock::real(), options)
    };
    assert!(new("https://api.github.com", false).is_ok());
    assert!(new("http://forge.lan/api/v1", true).is_ok());
    for address in ["http://forge.lan/api/v1", "ftp://x/", "https://u:p@x/", "nonsense", ""] {
        assert!(new(address, false).is_err(), "{address}");
    }
    let shown = format!("{:?}", new("https://api.github.com", false).unwrap());
    assert!(!shown.contains("t0ken"), "{shown}");
}

#[tokio::test]
async fn comments_of_issues_have_their_own_path() {
    for (provider, line) in [
        (Provider::GitHub, "POST /api/repos/o/r/issues/7/comments"),
        (Provider::GitLab, "POST /api/projects/o%2Fr/issues/7/notes"),
    ] {
        let fake = Fake::start([Reply::ok(json!([])), Reply::ok(json!({"id": 42}))]).await;
        let client = client(provider, &fake);
        client.put_comment("o/r", Thread::Issue(7), None, "findings", "x").await.unwrap();
        assert_eq!(fake.seen()[1].line, line);
    }
}

#[tokio::test]
async fn labels_are_changed_by_name() {
    let (add, remove) = (["bug".to_owned()], ["Old".to_owned()]);
    for (provider, removal) in [
        (Provider::GitHub, "DELETE /api/repos/o/r/issues/7/labels/old"),
        (Provider::Gitea, "DELETE /api/repos/o/r/issues/7/labels/9"),
        (Provider::Forgejo, "DELETE /api/repos/o/r/issues/7/labels/9"),
    ] {
        let there = json!([{"id": 9, "name": "old"}, {"id": 3, "name": "bug"}]);
        let replies = [Reply::ok(json!([])), Reply::ok(there), Reply::of(404, "{}")];
        let fake = Fake::start(replies).await;
        let client = client(provider, &fake);
        client.change_labels("o/r", Thread::PullRequest(7), &add, &remove).await.unwrap();
        let seen = fake.seen();
        assert_eq!(seen[0].line, "POST /api/repos/o/r/issues/7/labels", "{provider}");
        assert_eq!(seen[0].body, json!({"labels": ["bug"]}));
        assert_eq!(seen[2].line, removal, "{provider}");
    }
    let fake = Fake::start([Reply::ok(json!({}))]).await;
    let client = client(Provider::GitLab, &fake);
    client.change_labels("o/r", Thread::PullRequest(7), &add, &remove).await.unwrap();
    assert_eq!(fake.seen()[0].line, "PUT /api/projects/o%2Fr/merge_requests/7");
    assert_eq!(fake.seen()[0].body, json!({"add_labels": "bug", "remove_labels": "Old"}));
}
