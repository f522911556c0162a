//! Artifacts: listed, fetched whole and in parts, under hostile names; and logs as hostile as the steps
//! that wrote them.

use axum::http::Method;
use plue_api::Role;
use plue_runtime::Clock;
use plue_store::{NewRecord, Recorded, Store};
use plue_wire::{
    outputs::{ArtifactFile, Record},
    runner::Claim,
};
use serde_json::json;

use crate::support::{Answer, REPO, Server, create, print, request, started};

const FILE: &str = "/api/v1/runs/r1/attempts/r1-a1/artifact";

async fn keep(store: &Store, claim: &Claim, path: &str, content: &[u8]) {
    let blob = store.blobs().put(content).await.unwrap();
    let file = ArtifactFile {
        path: path.to_owned(),
        blob,
        bytes: content.len() as u64,
        executable: false,
    };
    let record = NewRecord {
        claim: claim.clone(),
        record: Record::Artifacts(vec![file]),
        scope: String::new(),
        at: Clock::real().now(),
    };
    assert_eq!(store.outputs().record(record).await.unwrap(), Recorded::Yes);
}

async fn fetch(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> Answer {
    let token = server.token(Role::Reader, Some(REPO)).await;
    let mut request = request(Method::GET, &format!("{FILE}?{query}"), Some(&token), None);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    server.send(request).await
}

#[tokio::test]
async fn artifacts_are_sent_whole_in_part_or_cached() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let content: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    keep(&server.store, &claim, "dist/numbers.bin", &content).await;
    let token = server.token(Role::Reader, None).await;
    let list = server.get(&token, "/api/v1/runs/r1/artifacts").await.is(200).json();
    assert_eq!(
        (&list[0]["path"], &list[0]["attempt_id"]),
        (&"dist/numbers.bin".into(), &"r1-a1".into())
    );
    let whole = fetch(&server, "path=dist/numbers.bin", &[]).await.is(200);
    assert_eq!(whole.body, content);
    assert_eq!(whole.headers["content-length"], content.len().to_string());
    assert_eq!(whole.headers["content-type"], "application/octet-stream");
    assert_eq!(whole.headers["x-content-type-options"], "nosniff");
    let tag = whole.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", list[0]["sha256"].as_str().unwrap()));
    let part = async |range: &'static str| {
        let answer = fetch(&server, "path=dist/numbers.bin", &[("range", range)]).await;
        (answer.status.as_u16(), answer.headers, answer.body)
    };
    let (status, headers, body) = part("bytes=4-11").await;
    assert_eq!((status, body.as_slice()), (206, &content[4..12]));
    assert_eq!(headers["content-range"], "bytes 4-11/2800000");
    assert_eq!(part("bytes=-4").await.2, content[content.len() - 4..]);
    let (status, headers, _) = part("bytes=2800000-").await;
    assert_eq!((status, &headers["content-range"]), (416, &"bytes */2800000".parse().unwrap()));
    let same = [("range", "bytes=0-0"), ("if-range", &*tag)];
    assert_eq!(fetch(&server, "path=dist/numbers.bin", &same).await.status, 206);
    let other = [("range", "bytes=0-0"), ("if-range", "\"other\"")];
    assert_eq!(fetch(&server, "path=dist/numbers.bin", &other).await.status, 200);
    let known = [("if-none-match", &*tag)];
    assert!(fetch(&server, "path=dist/numbers.bin", &known).await.is(304).body.is_empty());
}

#[tokio::test]
async fn artifact_names_reach_neither_files_nor_headers() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let evil = "a\r\nSet-Cookie: x=1\r\n\"; filename=\"b.html";
    keep(&server.store, &claim, evil, b"<script>alert(1)</script>").await;
    keep(&server.store, &claim, "../../etc/passwd", b"mine").await;
    let query = "path=a%0d%0aSet-Cookie:%20x=1%0d%0a%22;%20filename=%22b.html";
    let answer = fetch(&server, query, &[]).await.is(200);
    assert!(!answer.headers.contains_key("set-cookie"), "{:?}", answer.headers);
    let name = answer.headers["content-disposition"].to_str().unwrap();
    assert!(name.starts_with("attachment; ") && name.matches('"').count() == 2, "{name}");
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("'none'"));
    // It is a name in a table, and its content is what the step kept under it.
    let answer = fetch(&server, "path=../../etc/passwd", &[]).await.is(200);
    assert_eq!(answer.body, b"mine");
    for path in ["/etc/passwd", "dist/../../../etc/passwd", "%00", "", "a"] {
        fetch(&server, &format!("path={path}"), &[]).await.is(404);
    }
    fetch(&server, "path=a&path=b", &[]).await.is(400);
}

#[tokio::test]
async fn expired_artifacts_keep_their_names_only() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    keep(&server.store, &claim, "x", b"content").await;
    let end = Clock::real().now() + jiff::SignedDuration::from_hours(1);
    assert_eq!(server.store.artifacts().expire(end).await.unwrap(), 1);
    fetch(&server, "path=x", &[]).await.is(410);
    let token = server.token(Role::Reader, None).await;
    let list = server.get(&token, "/api/v1/runs/r1/artifacts").await.is(200).json();
    assert!(list[0]["expired_at"].is_string());
}

#[tokio::test]
async fn logs_are_raw_bytes_or_json_text() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let hostile = b"\x1b]0;title\x07\x1b[2J<script>alert(1)</script>\r\n\r\nHTTP/1.1 200 OK\n";
    print(&server.store, &claim, 2, hostile).await;
    let token = server.token(Role::Reader, None).await;
    let log = "/api/v1/runs/r1/attempts/r1-a1/log";
    let raw = server.get(&token, &format!("{log}/raw")).await.is(200);
    assert_eq!(raw.body, hostile);
    assert_eq!(raw.headers["content-type"], "application/octet-stream");
    for path in [format!("{log}/pieces"), format!("{log}/search?text=script")] {
        let answer = server.get(&token, &path).await.is(200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert!(!text.contains('\x1b') && answer.json().to_string().contains("<script>"), "{text}");
    }
    let hit = server.get(&token, &format!("{log}/search?text=%3Cscript")).await.json();
    assert_eq!((&hit[0]["line"], &hit[0]["byte"]), (&json!(1), &json!(14)));
}

#[tokio::test]
async fn log_pieces_are_read_from_a_sequence_number() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    print(&server.store, &claim, 2, b"one\n").await;
    print(&server.store, &claim, 3, b"two\n").await;
    let token = server.token(Role::Reader, None).await;
    let path = "/api/v1/runs/r1/attempts/r1-a1/log/pieces";
    let page = server.get(&token, path).await.is(200).json();
    assert_eq!((&page["items"][1]["text"], &page["next"]), (&json!("two\n"), &json!("3")));
    let end = server.get(&token, &format!("{path}?after=3")).await.is(200).json();
    assert_eq!((end["items"].as_array().unwrap().len(), &end["next"]), (0, &json!(null)));
    let tail = server.get(&token, &format!("{path}?tail=1")).await.is(200).json();
    assert_eq!(tail["items"][0]["text"], "two\n");
    server.get(&token, &format!("{path}?tail=1&after=1")).await.is(400);
}
