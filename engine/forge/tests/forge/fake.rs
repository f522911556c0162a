//! A forge with scripted answers, in order, that records its requests.

use std::sync::{Arc, Mutex};

use plue_runtime::Tasks;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A scripted answer of the forge.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    cut: bool,
}

/// A request that the forge received.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRequest {
    /// Request line: `POST /path`.
    pub(crate) line: String,
    head: String,
    pub(crate) body: Json,
}

/// A forge with scripted answers.
pub(crate) struct Fake {
    port: u16,
    seen: Arc<Mutex<Vec<RecordedRequest>>>,
}

// === impl Reply ===

impl Reply {
    pub(crate) fn ok(body: Json) -> Self {
        Self::of(200, &body.to_string())
    }

    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned(), cut: false }
    }

    /// The connection ends without an answer.
    pub(crate) fn cut() -> Self {
        Self { cut: true, ..Self::of(0, "") }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

// === impl RecordedRequest ===

impl RecordedRequest {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

// === impl Fake ===

impl Fake {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::default();
        let (noted, replies): (_, Vec<Reply>) = (Arc::clone(&seen), replies.into_iter().collect());
        drop(Tasks::new().spawn("a fake forge", async move {
            for reply in replies {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &reply, &noted).await;
            }
        }));
        Self { port, seen }
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<RecordedRequest> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads one request and answers it; the connection is not used again.
async fn answer(mut stream: TcpStream, reply: &Reply, seen: &Mutex<Vec<RecordedRequest>>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        stream.read_buf(&mut bytes).await.unwrap();
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut words = head.split(' ');
    let line = format!("{} {}", words.next().unwrap(), words.next().unwrap());
    let mut request = RecordedRequest { line, head, body: Json::Null };
    let length: usize = request.header("content-length").parse().unwrap_or(0);
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    request.body = serde_json::from_slice(&bytes[end..]).unwrap_or_default();
    seen.lock().unwrap().push(request);
    if reply.cut {
        return;
    }
    let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{}", reply.body.len(), reply.body));
    stream.write_all(text.as_bytes()).await.unwrap();
}
