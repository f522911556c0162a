//! The output of a program as a stream of bytes, for outputs that do not fit in memory.

use std::{
    io,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::{Sleep, sleep, timeout},
};

use super::{MAX_STDERR_BYTES, ProcessError, Program, reason};

/// The standard output of a running program. After its end, [`Stream::finish`] reports whether it
/// is whole; dropped before, the program is killed with everything it started.
#[derive(Debug)]
pub struct Stream {
    child: Child,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    group: Option<Pid>,
    limit: u64,
    left: u64,
    wall: Duration,
    /// Set while the reader waits: a slow reader is not the program's fault.
    silence: Option<Pin<Box<Sleep>>>,
}

// === impl Program ===

impl Program {
    /// Starts it with nothing to read. The answer is limited in bytes. The deadline holds for each wait:
    /// for the next part of the answer, and for the end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stream(self) -> Result<Stream, ProcessError> {
        let Self { mut command, program, limits, input: _, max_file } = self;
        command.stdin(Stdio::null());
        let cannot_start = |source| ProcessError::Start { program: program.clone(), source };
        let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(cannot_start)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            limits.confine(group, max_file);
        }
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdout = stdout.ok_or_else(|| cannot_start(io::Error::other("it has no pipes")))?;
        let (limit, wall) = (limits.answer.bytes, limits.wall);
        Ok(Stream { child, stdout, stderr, group, limit, left: limit, wall, silence: None })
    }
}

// === impl Stream ===

impl Stream {
    /// Reports, after the stream has ended, whether the program wrote all of it.
    ///
    /// # Errors
    /// It failed, or does not end: what was read is not the whole answer.
    pub async fn finish(mut self) -> Result<(), ProcessError> {
        let stderr = self.stderr.take();
        let end = async { (complaint(stderr).await, self.child.wait().await) };
        let late = |_| ProcessError::Late(self.wall.as_secs());
        let (complaint, status) = timeout(self.wall, end).await.map_err(late)?;
        let status = status.map_err(ProcessError::Pipe)?;
        if status.success() {
            self.group = None;
            return Ok(());
        }
        Err(ProcessError::Failed(reason(&complaint, &status.to_string())))
    }
}

impl Stream {
    #[expect(clippy::disallowed_methods, reason = "next to `Clock`: a deadline that is polled")]
    fn silent_too_long(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wall = self.wall;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(wall)));
        silence.as_mut().poll(context).map(|()| {
            let message = format!("nothing came for {} s", wall.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _gone_already = kill_process_group(group, Signal::KILL);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stdout).poll_read(context, buffer);
        if polled.is_pending() {
            return self.silent_too_long(context);
        }
        self.silence = None;
        if let Poll::Ready(Ok(())) = polled {
            let count = buffer.filled().len().saturating_sub(before) as u64;
            let Some(left) = self.left.checked_sub(count) else {
                let message = format!("the answer has more than {} bytes", self.limit);
                return Poll::Ready(Err(io::Error::other(message)));
            };
            self.left = left;
        }
        polled
    }
}

/// The beginning of the complaints, read to their end.
async fn complaint(stderr: Option<ChildStderr>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stderr) = stderr {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            let room = MAX_STDERR_BYTES.saturating_sub(kept.len()).min(count);
            kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
