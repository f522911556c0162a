//! Streams: what is there and what comes, once each, also over a lost connection.

use axum::http::Method;
use futures::StreamExt as _;
use plue_api::{Limits, Role};
use plue_runtime::Phase;
use serde_json::Value as Json;
use tower::ServiceExt as _;

use crate::support::{REPO, Server, create, end, print, request, started};

/// The events of a stream so far: name, id, data.
fn parsed(text: &str) -> Vec<(String, String, Json)> {
    let events = text.split("\n\n").filter(|event| event.contains("data:"));
    events
        .map(|event| {
            let field = |name: &str| {
                let found = event.lines().find_map(|line| line.strip_prefix(name));
                found.unwrap_or_default().trim().to_owned()
            };
            let data = serde_json::from_str(&field("data:")).unwrap();
            (field("event:"), field("id:"), data)
        })
        .collect()
}

/// Reads a stream until it has `count` events or ends.
async fn read(
    server: &Server,
    path: &str,
    last: Option<u64>,
    count: usize,
) -> Vec<(String, String, Json)> {
    let token = server.token(Role::Reader, None).await;
    let mut request = request(Method::GET, path, Some(&token), None);
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.to_string().parse().unwrap());
    }
    let response = server.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while parsed(&text).len() < count {
        match body.next().await {
            Some(bytes) => text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap()),
            None => break,
        }
    }
    parsed(&text)
}

#[tokio::test]
async fn a_stream_tells_what_was_and_what_comes_and_then_that_it_is_over() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let follow = read(&server, "/api/v1/runs/r1/events", None, usize::MAX);
    let (events, ()) = tokio::join!(follow, end(&server.store, &run, &claim, 2));
    let told: Vec<_> = events.iter().map(|(name, id, _)| (name.as_str(), id.as_str())).collect();
    assert_eq!(told, [("fact", "1"), ("fact", "2"), ("fact", "3"), ("fact", "4"), ("end", "")]);
    assert_eq!(events[0].2["fact"]["fact"], "run_created");
}

#[tokio::test]
async fn a_log_goes_on_behind_what_the_client_has_and_nothing_is_doubled() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let path = "/api/v1/runs/r1/attempts/r1-a1/log/events";
    print(&server.store, &claim, 2, b"one\n").await;
    print(&server.store, &claim, 3, b"tw\xff").await;
    let first = read(&server, path, None, 1).await;
    assert_eq!((first[0].1.as_str(), &first[0].2["text"]), ("2", &"one\n".into()));
    print(&server.store, &claim, 4, b"three").await;
    end(&server.store, &run, &claim, 5).await;
    let rest = read(&server, path, Some(2), usize::MAX).await;
    let ids: Vec<_> = rest.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(ids, ["3", "4", ""]);
    assert_eq!(rest[0].2["hex"], "7477ff", "bytes that are no text stay what they are");
    assert_eq!(rest[1].2["first_byte"], 7);
}

#[tokio::test]
async fn streams_end_when_the_server_drains() {
    let server = Server::with(Limits::default()).await;
    create(&server.store, "r1", REPO).await;
    let follow = read(&server, "/api/v1/runs/r1/events", None, usize::MAX);
    let (events, ()) = tokio::join!(follow, async {
        server.shutdown.advance(Phase::Draining);
    });
    assert_eq!(events.len(), 1, "what was there is told: {events:?}");
}

#[tokio::test]
async fn a_cursor_that_is_no_number_is_refused() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let mut bad = request(Method::GET, "/api/v1/runs/r1/events", Some(&token), None);
    bad.headers_mut().insert("last-event-id", "x".parse().unwrap());
    server.send(bad).await.is(400);
}
