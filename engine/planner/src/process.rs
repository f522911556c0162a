//! One evaluator process: a warm zygote behind a socket.
//!
//! Frames are capped before anything is allocated, every wait has a deadline, and the process is
//! killed when its value is dropped. After any failure the process must not be used again.

use std::{
    num::NonZeroU32,
    os::fd::OwnedFd,
    os::unix::net::UnixStream as StdStream,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plue_runtime::{Clock, Tasks, clock::Mark};
use plue_wire::{
    eval::{
        EvalHello, EvalReply, EvalRequest, LayerState, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, PROTOCOL,
    },
    frame,
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{error::Error, pool::Options};

/// Bytes of standard error that are kept.
const MAX_STDERR_BYTES: usize = 8 * 1024;
/// Bytes of the first frame.
const MAX_HELLO_BYTES: usize = 64 * 1024;

/// Time limit for the exit of a process after it closed its socket.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The hash seed and heap layout of a zygote. Those of a set differ in nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seed {
    A,
    B,
    /// A random secret number.
    Third(NonZeroU32),
}

/// Failure of a process without an answer. It must not be used again.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It ended, or closed its socket.
    Died(String),
    /// It answered with something that is no answer.
    Garbage(String),
    /// It did not answer in time.
    Silent,
}

/// A process and what is known of it.
#[derive(Debug)]
pub(crate) struct Evaluator {
    stream: UnixStream,
    child: Child,
    stderr: Tail,
    /// Ends when standard error does.
    drain: Option<JoinHandle<()>>,
    born: Mark,
    clock: Clock,
    /// Requests that were sent.
    pub(crate) uses: u32,
    hello: Option<EvalHello>,
}

/// The last bytes of standard error.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

// === impl Evaluator ===

impl Evaluator {
    /// Starts a process and does not wait for it: [`Evaluator::ready`] does. Must be called inside
    /// a Tokio runtime.
    pub(crate) fn start(
        options: &Options,
        seed: Seed,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Start { path: options.evaluator.clone(), source };
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let stream = UnixStream::from_std(ours).map_err(failed)?;
        let mut command = Command::new(&options.evaluator);
        command.args(["--hash-seed", &seed.to_string()]);
        for layer in &options.allow_missing {
            command.args(["--allow-missing", layer]);
        }
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // An interrupt at the terminal is the engine's to handle.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let stderr = Tail::default();
        let pipe = child.stderr.take();
        let drain = pipe.map(|pipe| tasks.spawn("evaluator stderr", stderr.clone().fill(pipe)));
        Ok(Self { stream, child, stderr, drain, born: clock.mark(), clock, uses: 0, hello: None })
    }

    /// Waits until it is ready and its jail holds.
    pub(crate) async fn ready(&mut self, limit: Duration) -> Result<&EvalHello, Error> {
        if self.hello.is_none() {
            let hello = self.within(limit, MAX_HELLO_BYTES).await;
            let hello: EvalHello = hello.map_err(|failure| Error::NotReady {
                reason: failure.to_string(),
                stderr: self.stderr.text(),
            })?;
            check(&hello)?;
            self.hello = Some(hello);
        }
        self.hello.as_ref().ok_or(Error::NotReady {
            reason: "it sent no greeting".to_owned(),
            stderr: String::new(),
        })
    }

    /// Its build; empty before it was ready.
    pub(crate) fn build(&self) -> &str {
        self.hello.as_ref().map_or("", |hello| &hello.build)
    }

    /// Time since its start.
    pub(crate) fn age(&self) -> Duration {
        self.clock.elapsed(self.born)
    }

    /// Sends one request and waits for its reply.
    pub(crate) async fn ask(
        &mut self,
        request: &EncodedRequest,
        limit: Duration,
    ) -> Result<EvalReply, Failure> {
        self.uses += 1;
        let clock = self.clock;
        let exchange = async {
            let sent = self.stream.write_all(&request.frame).await;
            let reply: Result<EvalReply, Failure> = read(&mut self.stream, MAX_REPLY_BYTES).await;
            match (sent, reply) {
                // Its last reply is worth more than the failed write.
                (_, Ok(reply)) => Ok(reply),
                (Err(error), Err(Failure::Died(_))) => Err(Failure::Died(error.to_string())),
                (_, Err(failure)) => Err(failure),
            }
        };
        let reply = tokio::select! {
            biased;
            reply = exchange => reply,
            () = clock.sleep(limit) => Err(Failure::Silent),
        };
        match reply {
            Ok(reply) if reply.id == request.id => Ok(reply),
            Ok(reply) => Err(Failure::Garbage(format!(
                "the reply has id {}, the request {}",
                reply.id, request.id
            ))),
            Err(Failure::Died(reason)) => Err(Failure::Died(self.obituary(&reason).await)),
            Err(failure) => Err(failure),
        }
    }

    async fn within<T: DeserializeOwned>(
        &mut self,
        limit: Duration,
        cap: usize,
    ) -> Result<T, Failure> {
        let clock = self.clock;
        let message = tokio::select! {
            biased;
            message = read(&mut self.stream, cap) => message,
            () = clock.sleep(limit) => Err(Failure::Silent),
        };
        match message {
            Err(Failure::Died(reason)) => Err(Failure::Died(self.obituary(&reason).await)),
            other => other,
        }
    }

    /// Exit status and last output. It closed its socket, so its exit is near.
    async fn obituary(&mut self, reason: &str) -> String {
        let clock = self.clock;
        let end = async {
            let status = self.child.wait().await.ok();
            if let Some(drain) = &mut self.drain {
                let _output_is_stored = drain.await;
            }
            status
        };
        let ended = tokio::select! {
            biased;
            status = end => status,
            () = clock.sleep(LAST_WORDS) => None,
        };
        self.drain = None;
        let how = ended.map_or_else(|| reason.to_owned(), |status| status.to_string());
        match self.stderr.text().as_str() {
            "" => how,
            text => format!("{how}; its error output: {text}"),
        }
    }
}

/// A request as it travels; encoded once for both zygotes of a pair.
#[derive(Debug)]
pub(crate) struct EncodedRequest {
    id: u64,
    frame: Vec<u8>,
}

// === impl EncodedRequest ===

impl EncodedRequest {
    pub(crate) fn new(request: &EvalRequest) -> Result<Self, Error> {
        Ok(Self { id: request.id, frame: frame::encode(request, MAX_REQUEST_BYTES)? })
    }
}

fn check(hello: &EvalHello) -> Result<(), Error> {
    if hello.protocol != PROTOCOL {
        return Err(Error::Protocol { found: hello.protocol, wanted: PROTOCOL });
    }
    let missing = hello.layers.iter().filter_map(|layer| match &layer.state {
        LayerState::Missing(why) => Some(format!("{} ({why})", layer.name)),
        LayerState::On(_) | LayerState::Allowed(_) => None,
    });
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::JailMissing(missing)) }
}

/// Reads one frame. Memory grows with what arrives, not with what is announced.
async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    cap: usize,
) -> Result<T, Failure> {
    let mut prefix = [0; frame::PREFIX_BYTES];
    let died = |error: std::io::Error| Failure::Died(error.to_string());
    stream.read_exact(&mut prefix).await.map_err(died)?;
    let length = frame::length(prefix, cap).map_err(|error| Failure::Garbage(error.to_string()))?;
    let mut body = Vec::new();
    let announced = u64::try_from(length).unwrap_or(u64::MAX);
    let read = stream.take(announced).read_to_end(&mut body).await.map_err(died)?;
    if read < length {
        return Err(Failure::Died("it ended within a reply".to_owned()));
    }
    frame::decode(&body).map_err(|error| Failure::Garbage(error.to_string()))
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::A => f.write_str("A"),
            Self::B => f.write_str("B"),
            Self::Third(number) => write!(f, "{number}"),
        }
    }
}

// === impl Tail ===

impl Tail {
    async fn fill(self, mut pipe: impl AsyncRead + Unpin) {
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
            let over = kept.len().saturating_sub(MAX_STDERR_BYTES);
            kept.drain(..over);
        }
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Died(how) => write!(f, "it ended: {how}"),
            Self::Garbage(what) => write!(f, "it sent no answer: {what}"),
            Self::Silent => f.write_str("it did not answer in time"),
        }
    }
}
