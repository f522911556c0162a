//! Hostile connections over real sockets to a public route.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::get,
};
use plue_api::{
    client::Proxies,
    listen::{self, Entrance},
};
use plue_runtime::{Clock, Phase, Shutdown, Tasks};
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
        Self::with(Router::new().route("/", get(|| async { "here" }))).await
    }

    async fn with(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stop) = Shutdown::new();
        let tasks = Tasks::new();
        let entrance = Entrance { listener, max_connections: 100, proxies: Proxies::default() };
        let serving = listen::serve(entrance, router, stop, tasks.clone(), Clock::real());
        let task = tasks.spawn("listen", serving);
        Self { address, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// All that is answered to these bytes.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may have received enough before the end.
        let _refused = stream.write_all(bytes).await;
        received(&mut stream).await
    }

    async fn end(self) {
        self.shutdown.advance(Phase::Draining);
        self.task.await.unwrap();
    }
}

/// Everything received until the connection ends.
async fn received(stream: &mut TcpStream) -> String {
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
async fn slow_heads_end_their_own_connection_only() {
    let served = Served::start().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(stream);
    }
    for stream in &mut slow {
        let answer = received(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let silent = received(&mut served.connect().await).await;
    assert_eq!(silent, "", "who says nothing gets nothing");
    let answer = served.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("here"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn long_and_malformed_heads_are_refused() {
    let served = Served::start().await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let answer = served.send(long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..500).map(|n| format!("x{n}: y\r\n")).collect();
    let answer = served.send(format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
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
        let answer = received(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{bad:?}: {answer}");
    }
    let answer = served.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("here"), "{answer}");
    served.end().await;
}

#[tokio::test(start_paused = true)]
async fn clients_that_never_read_are_dropped_within_bounds() {
    // Endless, and it counts what is taken out of it.
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let endless = get(move || {
        let counted = Arc::clone(&counted);
        let parts = futures::stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 64 * 1024]))
        });
        async move { Body::from_stream(parts) }
    });
    let served = Served::with(Router::new().route("/", endless)).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        streams.push(stream);
    }
    // Nothing is read until every connection has been left: only the draining server waits for them.
    served.end().await;
    let parts = taken.load(Ordering::SeqCst);
    assert!((20..20 * 256).contains(&parts), "{parts} parts of 64 KiB for 20 connections");
    for mut stream in streams {
        let answer = received(&mut stream).await;
        assert!(!answer.ends_with("0\r\n\r\n"), "an endless answer has no end");
    }
}
