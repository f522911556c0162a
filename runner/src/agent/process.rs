//! One process of a tool: its own process group, one pipe for all output, a time limit.
//!
//! Nothing of the group outlives the call. Must not inherit anything but the environment.

use std::{
    io, os::unix::process::ExitStatusExt as _, process::ExitStatus, process::Stdio, time::Duration,
};

use plue_runtime::Clock;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    process::{Child, Command},
    sync::watch,
};

use super::content::Content;

/// Time to read the rest of the output after the process has ended.
const LAST_BYTES: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It ended by itself, with this status.
    By(ExitStatus),
    /// Its time was over.
    TimedOut,
    /// The attempt is ending.
    Stopped,
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) output: Content,
    pub(super) how: Ended,
    /// Whether processes were left and killed.
    pub(super) left: bool,
}

/// The limits under which a process runs.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) clock: Clock,
    pub(super) timeout: Duration,
    /// Becomes true when the attempt ends.
    pub(super) stopped: watch::Receiver<bool>,
}

/// Kills the group of a process when it is dropped.
pub(super) struct Group(Option<Pid>);

/// Runs a command with combined output.
///
/// # Errors
/// It cannot be started.
pub(super) async fn run(mut command: Command, mut bounds: Bounds) -> io::Result<Finished> {
    let (output, input) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    // The command owns the writing ends.
    drop(command);
    let group = Group::of(&child);
    let mut output = pipe::Receiver::from_owned_fd(output.into())?;
    let mut content = Content::default();
    let deadline = bounds.clock.deadline(bounds.timeout);
    let how = tokio::select! {
        biased;
        _ = bounds.stopped.wait_for(|stopped| *stopped) => Ended::Stopped,
        () = deadline.reached() => Ended::TimedOut,
        how = ended(&mut child, &mut output, &mut content) => Ended::By(how?),
    };
    let left = group.kill();
    if !matches!(how, Ended::By(_)) {
        let _gone = child.start_kill();
        let _status = child.wait().await;
    }
    tokio::select! {
        () = bounds.clock.sleep(LAST_BYTES) => {}
        () = rest(&mut output, &mut content) => {}
    }
    Ok(Finished { output: content, how, left: left && matches!(how, Ended::By(_)) })
}

/// Reads until the process has ended.
async fn ended(
    child: &mut Child,
    output: &mut pipe::Receiver,
    content: &mut Content,
) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => status,
        // All output is closed; the process may go on.
        () = rest(output, content) => child.wait().await,
    }
}

/// Reads until all writing ends are closed.
async fn rest(output: &mut pipe::Receiver, content: &mut Content) {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while let Ok(count) = output.read_buf(&mut buffer).await {
        if count == 0 {
            return;
        }
        content.push(&buffer);
        buffer.clear();
    }
}

// === impl Ended ===

impl Ended {
    pub(super) fn is_success(self) -> bool {
        matches!(self, Self::By(status) if status.success())
    }

    /// For the model; nothing for success.
    pub(super) fn words(self, timeout: Duration) -> Option<String> {
        match self {
            Self::By(status) if status.success() => None,
            Self::By(status) => Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("[exit status {code}]"),
                (None, Some(signal)) => format!("[killed by signal {signal}]"),
                (None, None) => "[ended in an unknown way]".to_owned(),
            }),
            Self::TimedOut => Some(format!(
                "[killed: not done within {} ms; give a larger timeout_ms, or run less]",
                timeout.as_millis()
            )),
            Self::Stopped => Some("[killed: the step is ending]".to_owned()),
        }
    }
}

// === impl Group ===

impl Group {
    /// The group that a child leads.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())))
    }

    /// Whether a process of it is left, also one that is dying.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    /// Whether anything was left to kill.
    pub(super) fn kill(&self) -> bool {
        self.0.is_some_and(|group| {
            test_kill_process_group(group).is_ok()
                && kill_process_group(group, Signal::KILL).is_ok()
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
