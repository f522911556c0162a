//! One server: its process, and the messages over its standard input and output.
//!
//! One task writes, one reads and passes answers to the waiting calls. A message that is too long,
//! or much that is no message, ends the server.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::Write as _,
    os::unix::ffi::OsStringExt as _,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use plue_runtime::{Clock, Task, Tasks};
use plue_wire::{
    mcp::{self, Incoming, MAX_MESSAGE_BYTES},
    runner::{FETCH_HOSTS_VARIABLE, McpServer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
};

use super::super::{process::Group, tools::Surroundings};

/// Longest time of a start, until the answer to the first request. A package manager may download the server.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks whether the processes of a server are gone.
const LOOK: Duration = Duration::from_millis(5);
/// Checks for remaining processes at most.
const MAX_LOOKS: u32 = 200;
/// Messages that wait to be written.
const MAX_UNWRITTEN: usize = 8;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// Messages above this size are parsed on another thread.
const LARGE_BYTES: usize = 64 * 1024;
/// Lines that are no messages: some servers print a greeting.
const MAX_NOISE_LINES: usize = 100;
/// Bytes of standard error that go to the log.
const MAX_LOG_BYTES: usize = 256 * 1024;

/// A server that was started.
#[derive(Debug)]
pub(super) struct Connection {
    unwritten: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
    next_id: AtomicU64,
    clock: Clock,
    stopped: watch::Receiver<bool>,
    _reading: Task<()>,
    _writing: Task<()>,
    _logging: Task<()>,
}

/// Requests without an answer.
#[derive(Debug, Default)]
struct Waiting {
    open: HashMap<u64, oneshot::Sender<Result<Value, String>>>,
    /// The reason why no answer comes any more.
    ended: Option<String>,
}

/// The reading end of a server, with its process.
struct Reader {
    clock: Clock,
    child: Child,
    group: Group,
    output: ChildStdout,
    unwritten: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
    tasks: Tasks,
    /// Released when the process has ended.
    _place: OwnedSemaphorePermit,
}

// === impl Connection ===

impl Connection {
    /// Starts a server and shakes hands with it, within a time.
    ///
    /// # Errors
    /// It does not start, does not answer in time, or has no tools.
    pub(super) async fn start(
        server: &McpServer,
        hidden: &[String],
        within: Duration,
        around: &Surroundings,
    ) -> Result<Self, String> {
        let Ok(place) = Arc::clone(&around.processes).acquire_owned().await else {
            return Err("the step is ending".to_owned());
        };
        let mut child = command(server, hidden, around)?.spawn().map_err(|error| {
            let program = server.command.first().map(String::as_str).unwrap_or_default();
            format!("{program} cannot be started on this runner: {error}")
        })?;
        let group = Group::of(&child);
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no pipes".to_owned());
        };
        let (unwritten, to_write) = mpsc::channel(MAX_UNWRITTEN);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let tasks = around.tasks.clone();
        let reader = Reader {
            clock: around.clock,
            child,
            group,
            output,
            unwritten: unwritten.clone(),
            waiting: Arc::clone(&waiting),
            tasks: tasks.clone(),
            _place: place,
        };
        let connection = Self {
            unwritten,
            waiting,
            next_id: AtomicU64::new(1),
            clock: around.clock,
            stopped: around.stopped.clone(),
            _reading: tasks.owned("mcp messages", reader.run(around.stopped.clone())),
            _writing: tasks.owned("mcp requests", write(input, to_write)),
            _logging: tasks.owned("mcp log", log(errors, tasks.clone(), server.name.clone())),
        };
        let result = connection.ask(mcp::initialize, within.min(START_WITHIN)).await?;
        mcp::initialized(&result)?;
        connection.send(&mcp::notification("notifications/initialized", json!({}))).await?;
        Ok(connection)
    }

    /// The result of a request.
    ///
    /// # Errors
    /// The server refuses it, does not answer in time, or has ended.
    pub(super) async fn ask(
        &self,
        request: impl FnOnce(u64) -> Value,
        timeout: Duration,
    ) -> Result<Value, String> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = locked(&self.waiting);
            if let Some(why) = &waiting.ended {
                return Err(why.clone());
            }
            waiting.open.insert(id, sender);
        }
        let request = request(id);
        let asked = async {
            self.send(&request).await?;
            answer.await.unwrap_or_else(|_| Err(self.why_ended()))
        };
        let mut stopped = self.stopped.clone();
        let answered = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => Err("the step is ending".to_owned()),
            answered = asked => answered,
            () = self.clock.sleep(timeout) => {
                let cancelled = mcp::notification("notifications/cancelled", json!({"requestId": id}));
                let _full = self.unwritten.try_send(line(&cancelled));
                Err(format!("it gives no answer within {} ms", timeout.as_millis()))
            }
        };
        locked(&self.waiting).open.remove(&id);
        answered
    }

    async fn send(&self, message: &Value) -> Result<(), String> {
        self.unwritten.send(line(message)).await.map_err(|_| self.why_ended())
    }

    fn why_ended(&self) -> String {
        let why = locked(&self.waiting).ended.clone();
        why.unwrap_or_else(|| "it has closed its input".to_owned())
    }
}

fn locked(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn command(
    server: &McpServer,
    hidden: &[String],
    around: &Surroundings,
) -> Result<Command, String> {
    let Some((program, arguments)) = server.command.split_first() else {
        return Err("it has no command".to_owned());
    };
    let secrets = server.secrets.iter();
    let secrets = secrets.map(|(name, text)| (name, OsString::from_vec(text.0.clone())));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&around.folder).env_remove(FETCH_HOSTS_VARIABLE);
    for name in hidden {
        command.env_remove(name);
    }
    command
        .envs(server.env.iter().map(|(name, value)| (name, value)))
        .envs(secrets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

// === impl Reader ===

impl Reader {
    /// Reads until the server or the attempt ends; then nothing of its process group is left.
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let why = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => "the step is ending".to_owned(),
            why = self.read() => why,
        };
        self.group.kill();
        let _gone = self.child.start_kill();
        let _status = self.child.wait().await;
        // Its descendants die a moment after the signal; the runner would count them as orphans.
        for _ in 0..MAX_LOOKS {
            if !self.group.is_there() {
                break;
            }
            self.clock.sleep(LOOK).await;
        }
        let mut waiting = locked(&self.waiting);
        waiting.ended = Some(why);
        // Waiting calls find the reason.
        waiting.open.clear();
    }

    /// Hands answers out; returns the reason why there will be no more.
    async fn read(&mut self) -> String {
        let (mut buffer, mut noise) = (Vec::new(), 0);
        loop {
            match next_line(&mut self.output, &mut buffer).await {
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => match self.message(line).await {
                    Some(message) => self.take(message),
                    None if noise < MAX_NOISE_LINES => noise += 1,
                    None => return "it writes lines that are no messages".to_owned(),
                },
                Ok(None) => return self.how_ended().await,
                Err(why) => return why,
            }
        }
    }

    async fn message(&self, line: Vec<u8>) -> Option<Incoming> {
        if line.len() <= LARGE_BYTES {
            return mcp::incoming(&line);
        }
        let read = self.tasks.spawn_blocking(move || mcp::incoming(&line));
        read.await.ok().flatten()
    }

    fn take(&self, message: Incoming) {
        match message {
            Incoming::Answer(id, result) => {
                if let Some(sender) = locked(&self.waiting).open.remove(&id) {
                    let _late = sender.send(result);
                }
            }
            // A server that does not read gets no answers.
            Incoming::Request(id, method) => {
                let _full = self.unwritten.try_send(line(&mcp::answer(&id, &method)));
            }
            // Also a changed list: the tools of an attempt are those that were offered.
            Incoming::Notification => {}
        }
    }

    /// The end of a server that has closed its output; one that continues is killed after a moment.
    async fn how_ended(&mut self) -> String {
        let clock = Clock::real();
        tokio::select! {
            status = self.child.wait() => match status {
                Ok(status) => format!("it has ended ({status}); its log may say why"),
                Err(error) => format!("it has ended: {error}"),
            },
            () = clock.sleep(Duration::from_secs(1)) => "it has closed its output".to_owned(),
        }
    }
}

/// The next line without its end; `None` at the end of the stream. Cancel-safe.
async fn next_line(
    input: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Option<Vec<u8>>, String> {
    let mut searched = 0;
    loop {
        let unseen = buffer.get(searched..).unwrap_or_default();
        if let Some(at) = memchr::memchr(b'\n', unseen) {
            let mut line: Vec<u8> = buffer.drain(..=searched + at).collect();
            line.pop();
            return Ok(Some(line));
        }
        searched = buffer.len();
        if searched > MAX_MESSAGE_BYTES {
            return Err(format!("it writes a message of more than {MAX_MESSAGE_BYTES} bytes"));
        }
        buffer.reserve(READ_BYTES);
        match input.read_buf(buffer).await {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(format!("its output cannot be read: {error}")),
        }
    }
}

async fn write(mut input: ChildStdin, mut messages: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if input.write_all(&message).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

/// Standard error to the log of the attempt, up to a limit; the rest is read and dropped.
async fn log(mut errors: ChildStderr, tasks: Tasks, server: String) {
    let mut left = MAX_LOG_BYTES;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while let Ok(count) = errors.read_buf(&mut buffer).await {
        if count == 0 {
            return;
        }
        if left > 0 {
            let mut text = buffer.get(..left.min(buffer.len())).unwrap_or_default().to_vec();
            left -= text.len();
            if left == 0 {
                let note =
                    format!("\n[plue: MCP server `{server}` writes more; it is not shown]\n");
                text.extend_from_slice(note.as_bytes());
            }
            let write = move || std::io::stderr().lock().write_all(&text);
            let _closed = tasks.spawn_blocking(write).await;
        }
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endless_lines_are_refused() {
        let mut endless = tokio::io::repeat(b'x');
        let why = next_line(&mut endless, &mut Vec::new()).await.unwrap_err();
        assert!(why.contains("more than"), "{why}");
    }

    #[tokio::test]
    async fn lines_are_taken_one_by_one() {
        let (mut input, mut buffer) = (b"one\n\ntwo".as_slice(), Vec::new());
        for expected in [Some(b"one".to_vec()), Some(Vec::new()), None] {
            assert_eq!(next_line(&mut input, &mut buffer).await.unwrap(), expected);
        }
    }
}
