//! Talking with one process until it ends: input written, answer and complaints read, all at once, so
//! that no pipe fills up; and the group that is killed when it must end early.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, BorrowedFd},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plue_plan::budget::Stopped;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
    time::{ClockId, clock_gettime},
};

use super::{MAX_STDERR_BYTES, ProcessError};

/// Bytes that a pipe takes without blocking once it is ready (`PIPE_BUF`).
const PIPE_BYTES: usize = 4_096;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The process group of a program, as long as its leader was not reaped.
#[derive(Debug, Default)]
pub(super) struct Group(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    leader: Option<Pid>,
    is_abandoned: bool,
}

// === impl Group ===

impl Group {
    /// Names the group; kills it at once if its caller no longer waits for it.
    pub(super) fn begin(&self, leader: Pid) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.leader = Some(leader);
        if state.is_abandoned {
            kill(leader);
        }
    }

    pub(super) fn kill(&self) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.leader.iter().copied().for_each(kill);
    }

    pub(super) fn abandon(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_abandoned = true;
        state.leader.iter().copied().for_each(kill);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_abandoned
    }

    /// Waits for the leader, which has ended or was killed. Afterwards its id may be another's.
    pub(super) fn reap(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.leader = None;
        child.wait()
    }
}

fn kill(leader: Pid) {
    let _gone_already = kill_process_group(leader, Signal::KILL);
}

/// The pipes of a process that are still open, and the signal of its end.
struct Pipes<'i> {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    ended: OwnedFd,
    /// The rest that is still to be written to standard input.
    input: &'i [u8],
    complaint: Vec<u8>,
    buffer: Vec<u8>,
}

/// The pipes that are ready, and whether the process has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    ended: bool,
}

/// Writes the input and reads until both outputs have ended and the process with them. The result is
/// the beginning of its complaints.
pub(super) fn converse(
    child: &mut Child,
    input: &[u8],
    wall: Duration,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
) -> Result<String, ProcessError> {
    let until = now().saturating_add(wall);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(ProcessError::Interrupted)?;
    let mut pipes = Pipes {
        stdin: child.stdin.take(),
        stdout: child.stdout.take(),
        stderr: child.stderr.take(),
        ended: pidfd_open(pid, PidfdFlags::empty()).map_err(broken)?,
        input,
        complaint: Vec::new(),
        buffer: vec![0; CHUNK_BYTES],
    };
    loop {
        if pipes.input.is_empty() {
            pipes.stdin = None;
        }
        let Some(ready) = pipes.wait(until)? else {
            return Err(ProcessError::Late(wall.as_secs()));
        };
        if ready.ended {
            return Ok(String::from_utf8_lossy(&pipes.complaint).into_owned());
        }
        pipes.serve(ready, take)?;
    }
}

// === impl Pipes ===

impl Pipes<'_> {
    /// Waits until something is ready; `None` when it is too late.
    fn wait(&self, until: Duration) -> Result<Option<Ready>, ProcessError> {
        let left = until.checked_sub(now()).filter(|left| !left.is_zero());
        let Some(timeout) = left.and_then(|left| Timespec::try_from(left).ok()) else {
            return Ok(None);
        };
        let is_over = self.stdout.is_none() && self.stderr.is_none();
        let waits: [(Option<BorrowedFd<'_>>, PollFlags); 4] = [
            (self.stdin.as_ref().map(|pipe| pipe.as_fd()), PollFlags::OUT),
            (self.stdout.as_ref().map(|pipe| pipe.as_fd()), PollFlags::IN),
            (self.stderr.as_ref().map(|pipe| pipe.as_fd()), PollFlags::IN),
            (is_over.then(|| self.ended.as_fd()), PollFlags::IN),
        ];
        let open =
            waits.iter().filter_map(|(fd, flags)| Some(PollFd::from_borrowed_fd((*fd)?, *flags)));
        let mut polled: Vec<PollFd<'_>> = open.collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Some(Ready::default())),
            Err(error) => return Err(broken(error)),
        }
        let mut seen = polled.iter().map(|fd| !fd.revents().is_empty());
        let [stdin, stdout, stderr, ended] =
            waits.map(|(fd, _)| fd.is_some() && seen.next().unwrap_or_default());
        Ok(Some(Ready { stdin, stdout, stderr, ended }))
    }

    fn serve(
        &mut self,
        ready: Ready,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), ProcessError> {
        if ready.stdin
            && let Some(pipe) = &mut self.stdin
        {
            let part = self.input.get(..self.input.len().min(PIPE_BYTES)).unwrap_or_default();
            // It may end without having read everything; its status shows the reason.
            let written = pipe.write(part).unwrap_or(self.input.len());
            self.input = self.input.get(written..).unwrap_or_default();
        }
        if ready.stdout
            && let Some(pipe) = &mut self.stdout
        {
            match pipe.read(&mut self.buffer).map_err(ProcessError::Pipe)? {
                0 => self.stdout = None,
                count => take(self.buffer.get(..count).unwrap_or_default())?,
            }
        }
        if ready.stderr
            && let Some(pipe) = &mut self.stderr
        {
            match pipe.read(&mut self.buffer).map_err(ProcessError::Pipe)? {
                0 => self.stderr = None,
                count => {
                    let room = MAX_STDERR_BYTES.saturating_sub(self.complaint.len()).min(count);
                    self.complaint.extend_from_slice(self.buffer.get(..room).unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}

fn broken(error: rustix::io::Errno) -> ProcessError {
    ProcessError::Pipe(error.into())
}

/// Time on the monotonic clock, from an arbitrary start.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
