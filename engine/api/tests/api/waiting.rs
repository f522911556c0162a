//! Waits of runs: decisions, callbacks, and the whole record of a run.

use axum::{
    body::Body,
    http::{Method, Request},
};
use plue_api::Role;
use serde_json::json;

use crate::support::{OTHER, REPO, Server, asking, create, request};

#[tokio::test]
async fn pending_decisions_are_listed_by_pages() {
    let server = Server::start().await;
    create(&server.store, "r0", REPO).await;
    for run in ["r1", "r2", "r3"] {
        asking(&server.store, run, REPO).await;
    }
    asking(&server.store, "s1", OTHER).await;
    let token = server.token(Role::Reader, Some(REPO)).await;
    let first = server.get(&token, "/api/v1/approvals?limit=2").await.is(200).json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let asked = &first["items"][0];
    assert_eq!((&asked["run"], &asked["step"]), (&json!("r1"), &json!("ask")));
    assert_eq!((&asked["message"], &asked["quorum"]), (&json!("go?"), &json!(1)));
    assert_eq!(asked["fields"]["properties"]["n"]["type"], "integer");
    let rest = server.get(&token, "/api/v1/approvals?limit=2&cursor=r2").await.is(200).json();
    assert_eq!((&rest["items"][0]["run"], &rest["next"]), (&json!("r3"), &json!(null)));
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn decisions_are_audited_under_the_token_name() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    let token = server.token(Role::Maintainer, None).await;
    let path = "/api/v1/runs/r1/steps/ask/decision";
    let answer = json!({"approve": true, "fields": {"n": 3}, "comment": "fine"});
    server.post(&token, path, answer).await.is(200);
    let (what, answer, by) = server.asked.decisions.lock().unwrap()[0].clone();
    assert_eq!((what.as_str(), by.as_str()), ("r1 ask", "maintainer-all"));
    assert_eq!((answer.fields["n"].clone(), answer.comment.as_deref()), (json!(3), Some("fine")));
    server.post(&token, path, json!({"approve": true, "by": "root"})).await.is(400);
    let admin = server.token(Role::Admin, None).await;
    let trail = server.get(&admin, "/api/v1/audit").await.is(200).json();
    let row = &trail["items"][0];
    assert_eq!((&row["action"], &row["subject"]), (&json!("run.decide"), &json!("r1")));
    assert_eq!(
        (&row["principal"], &row["repository"]),
        (&"token:maintainer-all".into(), &REPO.into())
    );
}

#[tokio::test]
async fn callbacks_need_only_their_token_and_count_once() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let post = |token: &str, body: &'static str| {
        let request = Request::post(format!("/callbacks/{token}"));
        server.send(request.body(Body::from(body)).unwrap())
    };
    assert_eq!(post("good", "{\"ok\": 1}").await.is(200).json(), json!({"status": "taken"}));
    assert_eq!(post("good", "{\"ok\": 2}").await.is(200).json(), json!({"status": "duplicate"}));
    post("late", "").await.is(410);
    post("unknown", "null").await.is(404);
    post("a%0d%0ab", "null").await.is(404);
    post(&"x".repeat(300), "null").await.is(404);
    post("good", "{").await.is(400);
    assert_eq!(*server.asked.callbacks.lock().unwrap(), [json!({"ok": 1})]);
    let admin = server.token(Role::Admin, None).await;
    let trail = server.get(&admin, "/api/v1/audit").await.is(200).json();
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "one row for one change: {trail}");
    assert_eq!(trail["items"][0]["action"], "run.callback");
    let get = request(Method::GET, "/callbacks/good", None, None);
    server.send(get).await.is(405);
}

#[tokio::test]
async fn run_records_are_whole_and_cacheable() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let path = "/api/v1/runs/r1/status";
    let answer = server.get(&token, path).await.is(200);
    let record = answer.json();
    assert_eq!((&record["run"]["id"], &record["event"]["actor"]), (&json!("r1"), &json!("grace")));
    assert_eq!(
        (&record["steps"][0]["step"], &record["steps"][0]["status"]),
        (&"ask".into(), &"waiting".into())
    );
    assert_eq!(record["waiting"][0]["approvers"], json!(["ada"]));
    for path in [path, "/api/v1/runs/r1", "/api/v1/runs/r1/steps", "/api/v1/runs/r1/attempts"] {
        let tag = server.get(&token, path).await.is(200).headers["etag"].clone();
        let mut again = request(Method::GET, path, Some(&token), None);
        again.headers_mut().insert("if-none-match", tag.clone());
        let again = server.send(again).await.is(304);
        assert!(again.body.is_empty() && again.headers["etag"] == tag);
        let mut other = request(Method::GET, path, Some(&token), None);
        other.headers_mut().insert("if-none-match", "\"other\", W/\"another\"".parse().unwrap());
        server.send(other).await.is(200);
    }
}

#[tokio::test]
async fn a_tag_changes_with_the_run() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let tag = server.get(&token, "/api/v1/runs/r1").await.is(200).headers["etag"].clone();
    crate::support::started(&server.store, &run).await;
    let mut again = request(Method::GET, "/api/v1/runs/r1", Some(&token), None);
    again.headers_mut().insert("if-none-match", tag);
    server.send(again).await.is(200);
}

#[tokio::test]
async fn runs_are_found_by_prefix_or_as_last() {
    let server = Server::start().await;
    for run in ["ra1", "ra2", "rb1"] {
        create(&server.store, run, REPO).await;
    }
    // Runs that the token may not see do not count against the page.
    for run in ["rb2", "rb3", "rc1"] {
        create(&server.store, run, OTHER).await;
    }
    let token = server.token(Role::Reader, Some(REPO)).await;
    let find = |id: &'static str| {
        let path = format!("/api/v1/find/runs?id={id}");
        let (server, token) = (&server, &token);
        async move {
            let found = server.get(token, &path).await.is(200).json();
            let ids = found.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap());
            ids.map(str::to_owned).collect::<Vec<_>>()
        }
    };
    assert_eq!(find("rb").await, ["rb1"]);
    assert_eq!(find("last").await, ["rb1"], "the last one that the token may see");
    assert_eq!(find("ra").await.len(), 2);
    assert!(find("rc").await.is_empty() && find("%25").await.is_empty());
}

#[tokio::test]
async fn reruns_are_idempotent_and_limited_to_visible_runs() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Writer, Some(REPO)).await;
    let send = |key: &'static str| {
        let mut request = request(Method::POST, "/api/v1/runs/r1/rerun", Some(&token), None);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        server.send(request)
    };
    let one = send("k").await.is(201).json();
    assert_eq!(one["id"], send("k").await.is(201).json()["id"]);
    assert_ne!(one["id"], send("l").await.is(201).json()["id"]);
    let both = json!({"failed": true, "from": "build"});
    server.post(&token, "/api/v1/runs/r1/retry", both).await.is(400);
    server.post(&token, "/api/v1/runs/r1/retry", json!({"failed": true})).await.is(200);
}
