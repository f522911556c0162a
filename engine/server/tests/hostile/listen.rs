//! Connections of clients that mean no good: real sockets, a route that answers anybody.

use std::{io::ErrorKind, net::SocketAddr};

use axum::{Router, routing::get};
use plue_runtime::{Clock, Phase, Shutdown, Tasks};
use plue_server::listen;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

struct Served {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stop) = Shutdown::new();
        let tasks = Tasks::new();
        let router = Router::new().route("/", get(|| async { "here" }));
        let serving = listen::serve(listener, router, stop, tasks.clone(), Clock::real());
        let task = tasks.spawn("listen", serving);
        Self { address, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// All that is answered to these bytes.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may have heard enough before the end.
        let _refused = stream.write_all(bytes).await;
        heard(&mut stream).await
    }

    async fn end(self) {
        self.shutdown.advance(Phase::Draining);
        self.task.await.unwrap();
    }
}

/// What comes until the connection ends.
async fn heard(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part).await {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_or_never_ends_its_connection_and_no_other() {
    let served = Served::start().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(stream);
    }
    for stream in &mut slow {
        let answer = heard(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let silent = heard(&mut served.connect().await).await;
    assert_eq!(silent, "", "who says nothing gets nothing");
    let answer = served.say(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("here"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn heads_that_are_too_long_or_no_heads_are_refused() {
    let served = Served::start().await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let answer = served.say(long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..500).map(|n| format!("x{n}: y\r\n")).collect();
    let answer = served.say(format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    for bad in [
        "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nbad header: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
        "GET /\u{1}\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
    ] {
        let mut stream = served.connect().await;
        stream.write_all(bad.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = heard(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{bad:?}: {answer}");
    }
    let answer = served.say(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("here"), "{answer}");
    served.end().await;
}
