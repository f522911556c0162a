//! A Messages API for benches: each token is a line with the time at which it was sent.
//!
//! Must not check requests: the scripted model of `scripts/` does.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::Scope,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::{Value as Json, json};

use super::super::serve::Link;
use crate::bench::machine::{mark, millis, pause, wall_seconds};

/// Between two looks at what other threads do.
const LOOK: Duration = Duration::from_millis(1);
/// Text of the last token of an answer, by which turns are counted.
const TURN: &str = "end of a turn";

/// Answer that the model streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    /// Tokens of each answer.
    pub(super) tokens: u32,
    /// Time between two tokens, in ms.
    pub(super) pace_ms: u64,
    /// Answers of each agent; all but the last ask to be asked again.
    pub(super) turns: u32,
}

/// The scripted API, on a loopback port.
#[derive(Debug)]
pub(super) struct Model {
    listener: TcpListener,
    address: SocketAddr,
    talk: Mutex<Talk>,
    /// Ends of answers by agent.
    ended: Mutex<HashMap<String, Instant>>,
    overheads: Mutex<Vec<f64>>,
    asked: AtomicUsize,
    is_open: AtomicBool,
    is_over: AtomicBool,
}

// === impl Model ===

impl Model {
    /// A server on a free port; it answers once [`Model::accept`] runs.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            talk: Mutex::new(Talk { tokens: 1, pace_ms: 0, turns: 1 }),
            ended: Mutex::default(),
            overheads: Mutex::default(),
            asked: AtomicUsize::new(0),
            is_open: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn connect(&self) -> anyhow::Result<Link> {
        Link::to(&self.address.to_string())
    }

    /// From now on answers are like this, and their first tokens wait for [`Model::open`].
    pub(super) fn script(&self, talk: Talk) {
        self.is_open.store(false, Ordering::SeqCst);
        self.asked.store(0, Ordering::SeqCst);
        lock(&self.ended).clear();
        *lock(&self.talk) = talk;
    }

    /// Lets the first tokens go.
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    /// Waits for so many requests since [`Model::script`].
    pub(super) fn until_asked(&self, requests: usize) {
        while self.asked.load(Ordering::SeqCst) < requests {
            pause(LOOK);
        }
    }

    /// For each turn but the first of an agent: from the last byte of the answer before to its request, in
    /// ms. Each is given once.
    pub(super) fn overheads(&self) -> Vec<f64> {
        std::mem::take(&mut lock(&self.overheads))
    }

    /// Takes connections until [`Model::end`].
    pub(super) fn accept<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            scope.spawn(move || {
                // A client that goes away ends its connection.
                let _gone = self.serve(stream);
            });
        }
    }

    /// Ends the server once its clients are gone.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _wakes_the_listener = TcpStream::connect(self.address);
    }

    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        loop {
            let body = request(&mut stream)?;
            let agent = body.split_once("agent-").and_then(|(_, rest)| rest.split_once('.'));
            let agent = agent.map_or_else(String::new, |(name, _)| name.to_owned());
            if let Some(before) = lock(&self.ended).remove(&agent) {
                lock(&self.overheads).push(millis(before));
            }
            self.asked.fetch_add(1, Ordering::SeqCst);
            let talk = *lock(&self.talk);
            let turn = u32::try_from(body.matches(TURN).count())? + 1;
            self.answer(stream.get_mut(), talk, turn)?;
            lock(&self.ended).insert(agent, mark());
        }
    }

    fn answer(&self, stream: &mut TcpStream, talk: Talk, turn: u32) -> anyhow::Result<()> {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        )?;
        let usage = json!({"input_tokens": 10, "output_tokens": 1});
        let message = json!({
            "id": "msg_bench", "type": "message", "role": "assistant", "model": "bench",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
        });
        let mut head = event("message_start", &json!({"message": message}));
        let block = json!({"type": "text", "text": ""});
        head += &event("content_block_start", &json!({"index": 0, "content_block": block}));
        chunk(stream, &head)?;
        while !self.is_open.load(Ordering::SeqCst) {
            ensure!(!self.is_over.load(Ordering::SeqCst), "the bench is over");
            pause(LOOK);
        }
        let start = mark();
        for token in 0..talk.tokens {
            let due = (u64::from(token) * talk.pace_ms) as f64 - millis(start);
            if due > 0.0 {
                pause(Duration::from_secs_f64(due / 1e3));
            }
            chunk(stream, &text(&format!("{:.6}\n", wall_seconds())))?;
        }
        let is_last = turn >= talk.turns;
        let reason = if is_last { "end_turn" } else { "pause_turn" };
        let mut tail = text(&format!("{TURN}\n"));
        tail += &event("content_block_stop", &json!({"index": 0}));
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        let usage = json!({"output_tokens": talk.tokens});
        tail += &event("message_delta", &json!({"delta": delta, "usage": usage}));
        tail += &event("message_stop", &json!({}));
        chunk(stream, &tail)?;
        stream.write_all(b"0\r\n\r\n")?;
        Ok(())
    }
}

fn text(text: &str) -> String {
    let delta = json!({"type": "text_delta", "text": text});
    event("content_block_delta", &json!({"index": 0, "delta": delta}))
}

fn event(name: &str, data: &Json) -> String {
    let mut data = data.clone();
    data["type"] = name.into();
    format!("event: {name}\ndata: {data}\n\n")
}

/// One write for one chunk: the time in a token is that of its write.
fn chunk(stream: &mut TcpStream, text: &str) -> anyhow::Result<()> {
    let mut out = String::with_capacity(text.len() + 16);
    write!(out, "{:x}\r\n{text}\r\n", text.len())?;
    Ok(stream.write_all(out.as_bytes())?)
}

/// The body of the next request.
fn request(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the client is gone");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("content-length:") {
            length = rest.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
