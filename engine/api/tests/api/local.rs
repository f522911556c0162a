//! Requests of commands of this machine, and their rights over the network's.

use axum::http::{Method, StatusCode, header};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::StreamExt as _;
use plue_api::{Role, local::Local};
use serde_json::{Value as Json, json};

use crate::support::{REPO, Server, create, print, started, watched};

/// A request of this machine: its status and its document.
async fn call(server: &Server, method: Method, target: &str, body: Json) -> (StatusCode, Json) {
    let local = Local::new(server.api.clone(), "local:ada".to_owned());
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned())];
    let body = serde_json::to_vec(&body).unwrap();
    let answer = local.call(method, target, &headers, body).await.unwrap();
    let parts: Vec<_> = answer.body.map(|part| part.unwrap().to_vec()).collect().await;
    (answer.status, serde_json::from_slice(&parts.concat()).unwrap_or_default())
}

#[tokio::test]
async fn local_callers_have_all_rights_without_a_token() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let (status, who) = call(&server, Method::GET, "/api/v1/whoami", Json::Null).await;
    assert_eq!(
        (status.as_u16(), &who["name"], &who["role"]),
        (200, &json!("local:ada"), &json!("admin"))
    );
    let (status, _) = call(&server, Method::POST, "/api/v1/runs/r1/cancel", json!({})).await;
    assert_eq!(status, 200);
    let (_, trail) = call(&server, Method::GET, "/api/v1/audit", Json::Null).await;
    let row = &trail["items"][0];
    assert_eq!((&row["principal"], &row["action"]), (&json!("local:ada"), &json!("run.cancel")));
    assert_eq!(row["detail"].get("from"), None, "no address");
}

#[tokio::test]
async fn only_local_callers_name_folders() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin, None).await;
    let secret = "/api/v1/repositories/%2Fsrv%2Fapp/secrets/TOKEN";
    let request = crate::support::request;
    let body = json!({"text": "hunter22"});
    server.send(request(Method::PUT, secret, Some(&admin), Some(body.clone()))).await.is(404);
    assert_eq!(call(&server, Method::PUT, secret, body).await.0, 204);
    let all = server.get(&admin, "/api/v1/secrets?all=true").await.is(200).json();
    assert_eq!((&all[0]["name"], &all[0]["repository"]), (&json!("TOKEN"), &json!("/srv/app")));

    let find = "/api/v1/find/runs?id=last&folder=%2Fsrv%2Fapp";
    server.get(&admin, find).await.is(400);
    create(&server.store, "r1", REPO).await;
    let (status, found) = call(&server, Method::GET, find, Json::Null).await;
    assert_eq!((status.as_u16(), &found[0]["id"]), (200, &json!("r1")));

    let local = json!({"name": REPO, "forge": "local", "url": "/srv/app.git"});
    server.post(&admin, "/api/v1/repositories", local.clone()).await.is(400);
    let (status, added) = call(&server, Method::POST, "/api/v1/repositories", local).await;
    assert_eq!((status.as_u16(), added["hook"].is_string()), (201, true));
    let seen = server.get(&admin, "/api/v1/repositories").await.is(200).json();
    assert_eq!(seen[0].get("hook"), None);
    server
        .send(request(Method::DELETE, "/api/v1/repositories/acme%2Fapp", Some(&admin), None))
        .await
        .is(409);
    let removed =
        call(&server, Method::DELETE, "/api/v1/repositories/acme%2Fapp", Json::Null).await;
    assert_eq!(removed.0, 204);
}

#[tokio::test]
async fn secrets_are_bytes() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    let admin = server.token(Role::Admin, None).await;
    let path = "/api/v1/repositories/acme%2Fapp/secrets/KEY";
    let put = |body| crate::support::request(Method::PUT, path, Some(&admin), Some(body));
    let bytes = BASE64_STANDARD.encode([0xff, 0xfe, 1]);
    server.send(put(json!({"base64": bytes}))).await.is(204);
    server.send(put(json!({"base64": "a?"}))).await.is(400);
    server.send(put(json!({"base64": bytes, "text": "a"}))).await.is(400);
    server.send(put(json!({}))).await.is(400);
    let zero = BASE64_STANDARD.encode([1, 0]);
    server.send(put(json!({"base64": zero}))).await.is(400);
}

#[tokio::test]
async fn reruns_and_retries_name_their_part() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Writer, Some(REPO)).await;
    let rerun = "/api/v1/runs/r1/rerun";
    server.post(&token, rerun, json!({"from": "build"})).await.is(201);
    server.post(&token, rerun, json!({"from": "build", "failed": true})).await.is(400);
    server.send(crate::support::request(Method::POST, rerun, Some(&token), None)).await.is(201);
    let reruns = std::mem::take(&mut *server.asked.reruns.lock().unwrap());
    let parts: Vec<_> = reruns.iter().map(|one| one.from.as_deref()).collect();
    assert_eq!(parts, [Some("build"), None]);
    let retry = json!({"files": "force"});
    let retried = server.post(&token, "/api/v1/runs/r1/retry", retry).await.is(200).json();
    assert_eq!((&retried["id"], &retried["files"]["restored"]), (&json!("r1"), &json!(2)));
}

#[tokio::test]
async fn raw_logs_are_bytes_with_their_remarks() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    print(&server.store, &claim, 2, b"one \xff\n").await;
    let note = plue_wire::runner::EventKind::Note("wei\u{df}\n".to_owned());
    crate::support::append(&server.store, &claim, 3, note).await;
    let token = server.token(Role::Reader, Some(REPO)).await;
    let raw = format!("/api/v1/runs/r1/attempts/{}/log/raw", claim.attempt);
    let answer = server.get(&token, &raw).await.is(200);
    assert_eq!(answer.body, b"one \xff\n");
    let remarks = answer.headers[plue_api::routes::LOG_REMARKS].to_str().unwrap();
    let remarks: Json = serde_json::from_str(remarks).unwrap();
    assert_eq!(remarks[0]["stream"], "note");
    assert!(remarks[0]["text"].as_str().unwrap().contains('\u{df}'), "{remarks}");
}
