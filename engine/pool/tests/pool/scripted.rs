//! A runner whose side of the connection is driven by a test.

use std::{path::PathBuf, sync::Arc};

use plue_plan::{RunId, RunnerId};
use plue_pool::{
    Lease, LocalPool, Options, PoolEvent, WorkDir,
    dialed::{Arrival, Dial},
};
use plue_runtime::{Clock, Ids, Tasks};
use plue_store::{Store, StoreOptions};
use plue_wire::{
    decode, encode,
    runner::{FromRunner, Hello, MAX_FRAME_BYTES, PROTOCOL, Resume, ToRunner},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
};

/// A pool in a temporary directory.
pub(crate) struct Bench {
    pub(crate) pool: LocalPool,
    pub(crate) directory: tempfile::TempDir,
    arrivals: mpsc::Receiver<Scripted>,
}

/// The runner's end of one connection.
pub(crate) struct Scripted {
    stream: UnixStream,
    hello: Hello,
}

#[derive(Debug)]
struct Dialer(mpsc::Sender<Scripted>);

impl Dial for Dialer {
    fn arrive(&self, runner: &RunnerId, token: &str) -> Arrival<'_> {
        let hello = Hello {
            protocol: PROTOCOL,
            runner: runner.clone(),
            boot: "boot".to_owned(),
            token: token.to_owned(),
            facts: Vec::new(),
            resume: Vec::new(),
        };
        Box::pin(async move {
            let (ours, stream) = UnixStream::pair()?;
            if self.0.send(Scripted { stream, hello }).await.is_err() {
                std::future::pending::<()>().await;
            }
            Ok(ours)
        })
    }

    fn discard(&self, _: &RunnerId) {}
}

// === impl Bench ===

impl Bench {
    /// A pool whose runners are driven by the test.
    pub(crate) async fn scripted() -> Self {
        let (sender, arrivals) = mpsc::channel(1);
        let bench = Self::of_processes("none".into(), arrivals).await;
        let pool = bench.pool.clone().dialed_by(Arc::new(Dialer(sender)));
        Self { pool, ..bench }
    }

    /// A pool that starts this program as its runner.
    pub(crate) async fn with_runner(binary: PathBuf) -> Self {
        let (_, arrivals) = mpsc::channel(1);
        Self::of_processes(binary, arrivals).await
    }

    async fn of_processes(binary: PathBuf, arrivals: mpsc::Receiver<Scripted>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("plue.db");
        let store = Store::open(StoreOptions::sqlite(&database)).await.unwrap();
        let options = Options { binary, directory: directory.path().join("runners") };
        let pool = LocalPool::new(options, store, Clock::real(), Tasks::new());
        Self { pool, directory, arrivals }
    }

    pub(crate) async fn lease(&self) -> Lease {
        let work_dir = WorkDir { workspace: self.directory.path(), untrusted: false, scope: None };
        self.pool.lease(&RunId::new("run"), work_dir, &Ids::random(), None).await.unwrap()
    }

    /// The next connection of the leased runner.
    pub(crate) async fn arrival(&mut self) -> Scripted {
        self.arrivals.recv().await.unwrap()
    }

    /// A lease and its runner, in session.
    pub(crate) async fn session(&mut self) -> (Lease, Scripted) {
        let mut lease = self.lease().await;
        let mut runner = self.arrival().await;
        runner.greet().await;
        let ready = lease.next().await;
        assert!(matches!(ready, Some(PoolEvent::Ready { epoch: 1, .. })), "{ready:?}");
        (lease, runner)
    }
}

// === impl Scripted ===

impl Scripted {
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.hello.token);
        self
    }

    pub(crate) fn with_protocol(mut self, protocol: u32) -> Self {
        self.hello.protocol = protocol;
        self
    }

    pub(crate) fn resuming(mut self, resume: Resume) -> Self {
        self.hello.resume.push(resume);
        self
    }

    /// Sends the greeting; returns the engine's answer.
    pub(crate) async fn hello(&mut self) -> ToRunner {
        let hello = FromRunner::Hello(self.hello.clone());
        self.send(&hello).await;
        self.receive().await.unwrap()
    }

    /// Opens the session with the engine.
    pub(crate) async fn greet(&mut self) {
        let welcome = self.hello().await;
        assert!(matches!(welcome, ToRunner::Welcome(_)), "{welcome:?}");
        self.send(&FromRunner::Ready).await;
    }

    pub(crate) async fn send(&mut self, message: &FromRunner) {
        self.stream.write_all(&encode(message, MAX_FRAME_BYTES).unwrap()).await.unwrap();
    }

    /// The next message but heartbeats; `None` when the engine has closed the connection.
    pub(crate) async fn receive(&mut self) -> Option<ToRunner> {
        loop {
            let length = self.stream.read_u32_le().await.ok()?;
            let mut frame = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut frame).await.ok()?;
            match decode(&frame).unwrap() {
                ToRunner::Heartbeat => {}
                message => return Some(message),
            }
        }
    }
}
