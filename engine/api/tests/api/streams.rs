//! Streams: what is there and what comes, once each, also over a lost connection.

use axum::{body::BodyDataStream, http::Method};
use futures::{StreamExt as _, future::join_all};
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
async fn streams_replay_past_events_then_follow_and_end() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let follow = read(&server, "/api/v1/runs/r1/events", None, usize::MAX);
    let (events, ()) = tokio::join!(follow, end(&server.store, &run, &claim, 2));
    let names: Vec<_> = events.iter().map(|(name, id, _)| (name.as_str(), id.as_str())).collect();
    assert_eq!(names, [("fact", "1"), ("fact", "2"), ("fact", "3"), ("fact", "4"), ("end", "")]);
    assert_eq!(events[0].2["fact"]["fact"], "run_created");
}

#[tokio::test]
async fn log_streams_resume_without_repeated_bytes() {
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

/// A stream that is open.
async fn open(server: &Server, token: &str, path: &str) -> BodyDataStream {
    let response = server.router.clone().oneshot(request(Method::GET, path, Some(token), None));
    let response = response.await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.into_body().into_data_stream()
}

/// Reads a stream until it holds a text.
async fn read_until(stream: &mut BodyDataStream, text: &str) {
    let mut received = String::new();
    while !received.contains(text) {
        let bytes = stream.next().await.unwrap_or_else(|| panic!("it ended: {received}")).unwrap();
        received.push_str(std::str::from_utf8(&bytes).unwrap());
    }
}

#[tokio::test]
async fn two_thousand_streams_share_one_poller() {
    const STREAMS: usize = 2_000;
    let rates = plue_api::limit::Rates {
        token: plue_api::rate::Rate { burst: 10_000, every: std::time::Duration::from_millis(1) },
        ..Default::default()
    };
    let server = Server::with(Limits { rates, ..Limits::default() }).await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    print(&server.store, &claim, 2, b"one\n").await;
    let token = server.token(Role::Reader, None).await;
    let log = "/api/v1/runs/r1/attempts/r1-a1/log/events";
    let mut streams = Vec::new();
    for n in 0..STREAMS {
        let (path, first) =
            if n % 2 == 0 { (log, "one") } else { ("/api/v1/runs/r1/events", "\nid: 3") };
        let mut stream = open(&server, &token, path).await;
        read_until(&mut stream, first).await;
        streams.push(stream);
    }
    server.reads.taken();
    for (seq, line) in [(3, "two"), (4, "three")] {
        print(&server.store, &claim, seq, line.as_bytes()).await;
        join_all(streams.iter_mut().step_by(2).map(|stream| read_until(stream, line))).await;
    }
    end(&server.store, &run, &claim, 5).await;
    join_all(streams.iter_mut().map(|stream| read_until(stream, "event: end"))).await;
    // For each of three changes: two things that are followed, how far each is, what is new in it.
    let reads = server.reads.taken();
    assert!(reads <= 40, "{reads} questions for {STREAMS} streams");
}

#[tokio::test]
async fn stream_limits_hold_per_token_and_overall() {
    let limits = Limits { streams: 3, streams_of_token: 2, ..Limits::default() };
    let server = Server::with(limits).await;
    create(&server.store, "r1", REPO).await;
    let path = "/api/v1/runs/r1/events";
    let (one, other) =
        (server.token(Role::Reader, None).await, server.token(Role::Writer, None).await);
    let mut streams = Vec::new();
    for token in [&one, &one, &other] {
        streams.push(open(&server, token, path).await);
    }
    let again = |token: &str| server.send(request(Method::GET, path, Some(token), None));
    let refused = again(&one).await.is(429);
    assert_eq!(refused.headers["retry-after"], "5");
    let refused = again(&other).await.is(503);
    assert_eq!(refused.headers["retry-after"], "5");
    // Requests without a stream are still answered.
    server.get(&one, "/api/v1/runs/r1").await.is(200);
    drop(streams.remove(0));
    streams.push(open(&server, &other, path).await);
    again(&one).await.is(503);
    streams.clear();
    drop(open(&server, &one, path).await);
}

#[tokio::test]
async fn polling_stops_with_the_last_subscriber() {
    let soon = std::time::Duration::from_millis(1);
    let server = Server::with(Limits { heartbeat: soon, ..Limits::default() }).await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let mut stream = open(&server, &token, "/api/v1/runs/r1/events").await;
    read_until(&mut stream, "run_created").await;
    assert_eq!(server.tasks.running(), 1);
    drop(stream);
    while server.tasks.running() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn late_subscribers_read_long_logs_in_order() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let piece = vec![b'x'; 60_000];
    for seq in 2..=30 {
        print(&server.store, &claim, seq, &piece).await;
    }
    let path = "/api/v1/runs/r1/attempts/r1-a1/log/events";
    let late = read(&server, path, None, usize::MAX);
    let (events, ()) = tokio::join!(late, async {
        for seq in 31..=60 {
            print(&server.store, &claim, seq, &piece).await;
        }
        end(&server.store, &run, &claim, 61).await;
    });
    let ids: Vec<u64> = events.iter().filter_map(|event| event.1.parse().ok()).collect();
    assert_eq!(ids, (2..=60).collect::<Vec<_>>());
}
