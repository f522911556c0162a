//! A program with several requests and answers, such as `git cat-file --batch`.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Group, ProcessError, Program};

/// Bytes of one line of an answer.
const MAX_LINE_BYTES: u64 = 4_096;

/// A running program. Dropped, it is killed with everything it started. Its calls block, each read
/// at most as long as the program's deadline.
#[derive(Debug)]
pub struct Dialog {
    child: Child,
    group: Arc<Group>,
    ask: ChildStdin,
    answer: BufReader<Timed>,
}

/// A pipe whose reads have a deadline.
#[derive(Debug)]
struct Timed {
    pipe: ChildStdout,
    wall: Duration,
}

// === impl Program ===

impl Program {
    /// Starts it for questions.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn dialog(mut self) -> Result<Dialog, ProcessError> {
        self.command.stderr(Stdio::null());
        let group = Arc::new(Group::default());
        let mut child = self.spawn(&group)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let no_pipes = || self.cannot_start(io::Error::other("it has no pipes"));
        let (ask, pipe) = pipes.ok_or_else(no_pipes)?;
        let answer = BufReader::new(Timed { pipe, wall: self.limits.wall });
        Ok(Dialog { child, group, ask, answer })
    }
}

// === impl Dialog ===

impl Dialog {
    /// Sends a request, and reads the first line of the answer.
    ///
    /// # Errors
    /// The program has ended, is too late, or answers with a longer line than any.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        writeln!(self.ask, "{line}")?;
        self.ask.flush()?;
        let mut answer = String::new();
        (&mut self.answer).take(MAX_LINE_BYTES).read_line(&mut answer)?;
        match answer.strip_suffix('\n') {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::Error::other("the answer has no line")),
        }
    }

    /// Reads so many bytes of the answer.
    ///
    /// # Errors
    /// The program has ended, or is too late.
    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.answer).take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        self.group.kill();
        let _killed = self.group.reap(&mut self.child);
    }
}

// === impl Timed ===

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let timeout = Timespec::try_from(self.wall).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.pipe, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => self.pipe.read(buffer),
            Err(error) => Err(error.into()),
        }
    }
}
