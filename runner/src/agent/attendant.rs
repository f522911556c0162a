//! The attendant: receives orders, runs tools concurrently, sends replies.
//!
//! Orders are read in sequence and calls are tasks. Calls that wait are bounded: beyond that
//! nothing more is read. When the runner is gone, or on TERM, tools are ended.

use std::{
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plue_runtime::{Clock, Tasks};
use plue_wire::{
    Splitter, encode,
    runner::{AgentOrder, MAX_FRAME_BYTES, ToolCall},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
};

use super::{
    AgentContext,
    content::{MAX_REPLY_FRAME_BYTES, Reply},
    ledger::{Admission, Ledger},
    mcp,
    tools::Tools,
};

/// Calls that are executed at once.
pub(super) const PARALLEL: usize = 32;
/// Bytes of calls that wait for their turn.
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// The least weight of a waiting call.
const MIN_CALL_BYTES: usize = 1024;
/// Pieces of text that wait for standard output.
const MAX_PRINTS: usize = 16;
/// Bytes that are read from the socket at once.
const READ_BYTES: usize = 64 * 1024;
/// Grace time of tools after a request to end.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Takes the orders of one attempt and executes its calls.
struct Attendant {
    tools: Arc<Tools>,
    ledger: Arc<Mutex<Ledger>>,
    turns: Arc<Semaphore>,
    room: Arc<Semaphore>,
    replies: mpsc::Sender<Arc<Reply>>,
    prints: mpsc::Sender<Vec<u8>>,
    tasks: Tasks,
}

/// The end of a tool's work.
enum End {
    Order {
        output_json: String,
        status: u8,
    },
    /// The attendant received TERM.
    Asked,
    /// The runner is gone, or sent an order that this program does not know.
    Alone,
}

/// Executes orders until the last one or TERM; returns the exit status.
///
/// # Errors
/// A text for people.
pub(super) async fn attend(
    socket: UnixStream,
    context: AgentContext,
    servers: mcp::Order,
) -> Result<u8, String> {
    let (clock, tasks) = (Clock::real(), Tasks::new());
    let mut asked = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let _ignored = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let (mut read, write) = socket.into_split();
    let (replies, from_tools) = mpsc::channel(PARALLEL);
    let (prints, to_print) = mpsc::channel(MAX_PRINTS);
    let (stop, stopped) = watch::channel(false);
    let output = context.output.clone();
    let tools = Tools::new(context, servers, clock, tasks.clone(), stopped)?;
    let attendant = Attendant {
        tools: Arc::new(tools),
        ledger: Arc::default(),
        turns: Arc::new(Semaphore::new(PARALLEL)),
        room: Arc::new(Semaphore::new(WAITING_BYTES)),
        replies,
        prints,
        tasks: tasks.clone(),
    };
    let _writer = tasks.owned("replies", write_replies(write, from_tools));
    let printer = tasks.spawn("printer", print(tasks.clone(), to_print));
    let end = attendant.obey(&mut read, &mut asked).await;
    let _no_tool_runs = stop.send(true);
    attendant.quiet(clock).await;
    drop(attendant);
    match end {
        End::Order { output_json, status } => {
            printed(printer).await;
            write_output(&output.with_extension("returned"), &output_json)
                .map_err(|error| format!("the output cannot be written: {error}"))?;
            Ok(status)
        }
        End::Asked => Ok(128 + 15),
        End::Alone => Err("the runner is gone".to_owned()),
    }
}

// === impl Attendant ===

impl Attendant {
    async fn obey(&self, read: &mut OwnedReadHalf, asked: &mut tokio::signal::unix::Signal) -> End {
        let orders = async {
            let mut splitter = Splitter::new(MAX_FRAME_BYTES);
            loop {
                match next_order(read, &mut splitter).await {
                    Some(AgentOrder::Call(call)) => self.call(call).await,
                    Some(AgentOrder::Print(bytes)) => {
                        let _ended = self.prints.send(bytes.0).await;
                    }
                    Some(AgentOrder::End { output_json, status }) => {
                        return End::Order { output_json, status };
                    }
                    None => return End::Alone,
                }
            }
        };
        tokio::select! {
            _ = asked.recv() => End::Asked,
            end = orders => end,
        }
    }

    async fn call(&self, call: ToolCall) {
        let admission = self.ledger().admit(&call.id);
        match admission {
            Admission::Running => {}
            Admission::Answered(reply) => {
                let replies = self.replies.clone();
                let again = async move { drop(replies.send(reply).await) };
                self.tasks.spawn("reply again", again);
            }
            Admission::Execute => self.execute(call).await,
        }
    }

    /// Starts a call; waits only while too many wait for their turn.
    async fn execute(&self, call: ToolCall) {
        let bytes = call.input_json.len().clamp(MIN_CALL_BYTES, WAITING_BYTES);
        let room = Arc::clone(&self.room);
        let Ok(room) = room.acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX)).await
        else {
            return;
        };
        let (tools, turns) = (Arc::clone(&self.tools), Arc::clone(&self.turns));
        let (ledger, replies) = (Arc::clone(&self.ledger), self.replies.clone());
        self.tasks.spawn("tool", async move {
            let Ok(_turn) = turns.acquire_owned().await else { return };
            let (id, outcome) = tools.execute(call).await;
            drop(room);
            let reply = Arc::new(outcome.reply(id.clone()));
            ledger.lock().unwrap_or_else(PoisonError::into_inner).done(&id, &reply);
            // The turn ends when the runner takes the reply.
            let _gone = replies.send(reply).await;
        });
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no process of a tool is left.
    async fn quiet(&self, clock: Clock) {
        self.turns.close();
        self.room.close();
        let deadline = clock.deadline(LEAVE_WITHIN);
        tokio::select! {
            () = deadline.reached() => {}
            () = self.tools.ended() => {}
        }
    }
}

/// The next order; `None` when there will be none. Cancel-safe.
async fn next_order(read: &mut OwnedReadHalf, splitter: &mut Splitter) -> Option<AgentOrder> {
    loop {
        match splitter.next_frame() {
            Ok(Some(order)) => return Some(order),
            Ok(None) => {}
            Err(_) => return None,
        }
        let buffer = splitter.buffer();
        buffer.reserve(READ_BYTES);
        match read.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn write_replies(mut write: OwnedWriteHalf, mut replies: mpsc::Receiver<Arc<Reply>>) {
    while let Some(reply) = replies.recv().await {
        let Ok(frame) = encode(&*reply, MAX_REPLY_FRAME_BYTES) else { continue };
        if write.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Standard output may be shared with other processes, so it stays blocking and has its own thread.
async fn print(tasks: Tasks, mut texts: mpsc::Receiver<Vec<u8>>) {
    while let Some(text) = texts.recv().await {
        let written = tasks.spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(&text).and_then(|()| out.flush())
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn printed(printer: JoinHandle<()>) {
    let _reader_gone = printer.await;
}

/// Writes the output to the file of a called function's value, which overrides `$PLUE_OUTPUT`,
/// where tools may write. Anything but JSON is text.
fn write_output(path: &Path, output: &str) -> io::Result<()> {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(output).is_ok();
    let text =
        if is_json { output.to_owned() } else { serde_json::Value::from(output).to_string() };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
