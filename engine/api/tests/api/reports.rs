//! Reports of a run: its explanation, its export as one file, and searches of its logs.

use std::collections::BTreeSet;

use axum::http::Method;
use plue_api::Role;
use serde_json::json;

use crate::support::{OTHER, REPO, Server, asking, create, end, print, request, started};

#[tokio::test]
async fn runs_are_explained_whole_or_by_step() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let path = "/api/v1/runs/r1/explanation";
    let report = server.get(&token, path).await.is(200).json();
    assert_eq!((&report["run"]["id"], &report["source"]), (&json!("r1"), &json!("asks.plue.py")));
    assert_eq!(report["event"]["actor"], "grace");
    assert_eq!(
        (&report["steps"][0]["step"], &report["steps"][0]["status"]),
        (&json!("ask"), &json!("waiting"))
    );
    assert_eq!(report["next"][0], "plue approve r1 ask");
    let one = server.get(&token, &format!("{path}?step=ask&zone=Europe/Berlin")).await.is(200);
    assert_eq!(one.json()["steps"], report["steps"]);
    server.get(&token, &format!("{path}?step=none")).await.is(404);
    server.get(&token, &format!("{path}?zone=Moon/Base")).await.is(400);
    server.get(&token, &format!("{path}?stpe=ask")).await.is(400);
}

#[tokio::test]
async fn only_ended_runs_are_exported() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let token = server.token(Role::Reader, Some(REPO)).await;
    let path = "/api/v1/runs/r1/archive";
    let problem = server.get(&token, path).await.is(409).json();
    assert!(problem["detail"].as_str().unwrap().contains("has not ended"), "{problem}");
    end(&server.store, &run, &claim, 2).await;
    let answer = server.get(&token, path).await.is(200);
    assert_eq!(answer.body, b"the file of r1, whole");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"r1.plue\"");
    assert_eq!(answer.headers["content-type"], "application/zstd");
    let foreign = server.token(Role::Admin, Some(OTHER)).await;
    server.get(&foreign, path).await.is(404);
}

#[tokio::test]
async fn messages_need_a_global_role_and_are_recorded() {
    let server = Server::start().await;
    let token = server.token(Role::Writer, None).await;
    let path = "/api/v1/messages";
    let body = json!({"topic": "deploys", "data": {"n": 1}});
    server.post(&token, path, body.clone()).await.is(204);
    let since = jiff::Timestamp::UNIX_EPOCH;
    let kept = server.store.topics().messages("deploys", 0, since, 10).await.unwrap();
    assert_eq!((&kept[0].data, kept[0].by.as_str()), (&json!({"n": 1}), "token:writer-all"));
    for bad in [json!({"topic": ""}), json!({"topic": "a\nb"}), json!({"topic": "x".repeat(300)})] {
        server.post(&token, path, bad).await.is(400);
    }
    let narrow = server.token(Role::Admin, Some(REPO)).await;
    server.post(&narrow, path, body.clone()).await.is(403);
    let reader = server.token(Role::Reader, None).await;
    server.post(&reader, path, body).await.is(403);
    let admin = server.token(Role::Admin, None).await;
    let trail = server.get(&admin, "/api/v1/audit").await.is(200).json();
    assert_eq!(trail["items"][0]["action"], "event.emit");
}

#[tokio::test]
async fn token_lifetimes_are_given_as_durations() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin, None).await;
    let ask = |more: serde_json::Value| {
        let mut wanted = json!({"name": "ci", "role": "reader"});
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post(&admin, "/api/v1/tokens", wanted)
    };
    let made = ask(json!({"expires_in": "90d"})).await.is(201).json();
    let time = |field: &str| made[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expires_at").as_second() - time("created_at").as_second(), 90 * 86_400);
    ask(json!({"expires_in": "soon"})).await.is(400);
    ask(json!({"expires_in": "1d", "expires_in_days": 1})).await.is(400);
}

/// A log whose lines all hold the text, over several pages of the store.
#[tokio::test]
async fn searches_find_each_line_once_across_pages() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    for seq in 2..=151 {
        let halves = if seq % 2 == 0 { "a needle, a nee" } else { "dle <b>\u{1b}[31m\n" };
        print(&server.store, &claim, seq, halves.as_bytes()).await;
    }
    let token = server.token(Role::Reader, Some(REPO)).await;
    let path = "/api/v1/runs/r1/log/search?q=needle&limit=7";
    let (mut cursor, mut lines) = (String::new(), Vec::new());
    loop {
        let page = server.get(&token, &format!("{path}{cursor}")).await.is(200).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        lines.extend(items.iter().map(|hit| hit["line"].as_u64().unwrap()));
        if let Some(first) = items.first() {
            assert_eq!((&first["step"], &first["attempt"]), (&json!("build"), &json!(1)));
            assert_eq!((&first["visit"], &first["attempt_id"]), (&json!(1), &json!("r1-a1")));
            // Whatever a step prints is a text in JSON, and nothing that a terminal or a page obeys.
            assert_eq!(first["text"], "a needle, a needle <b>\u{1b}[31m");
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(lines, (1..=75).collect::<Vec<_>>());
    let raw = server.get(&token, path).await;
    assert!(!raw.body.contains(&0x1b), "an escape is escaped");
    assert_eq!(raw.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_search_that_cannot_be_one_is_refused() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    print(&server.store, &claim, 2, b"a needle\n").await;
    let token = server.token(Role::Reader, None).await;
    let search = |query: &str| {
        let path = format!("/api/v1/runs/r1/log/search?{query}");
        let request = request(Method::GET, &path, Some(&token), None);
        server.send(request)
    };
    let long = format!("q={}", "x".repeat(5_000));
    for bad in ["q=", "", "text=needle", "q=a&cursor=x", "q=a&cursor=other:0:0", &long] {
        search(bad).await.is(400);
    }
    let mut counts = BTreeSet::new();
    for (query, count) in [
        ("q=needle", 1),
        ("q=needle&step=build", 1),
        ("q=needle&step=other", 0),
        ("q=needle&attempt=r1-a1", 1),
        ("q=needle&attempt=r1-a2", 0),
        ("q=nowhere", 0),
    ] {
        let page = search(query).await.is(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
        counts.insert(count);
    }
    assert_eq!(counts.len(), 2);
}
