//! The warm interpreter: one process that forks another for each Python step, within a
//! millisecond instead of the ten that an interpreter takes to start.
//!
//! A failure before a request is handed over only costs time: the step is then started without the
//! interpreter. After that it may run, so it must not be started again. Must not use a broken
//! interpreter again.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use plue_wire::runner::Program;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType, recv, sendmsg, socketpair, sockopt,
    },
    pipe::{PipeFlags, pipe_with},
};
use tokio::net::UnixDatagram;

use super::{PROGRAM, marshal};
use crate::{
    attempt::launch::{LaunchContext, Process},
    system::Reaped,
};

/// Bytes of a request at most; a larger step is started without the interpreter.
const MAX_REQUEST_BYTES: usize = 192 * 1024;
/// Bytes of an answer at most.
const MAX_ANSWER_BYTES: usize = 4 * 1024;
/// Seconds until an interpreter that does not answer counts as broken. The dispatcher waits that
/// long at worst, once.
const PATIENCE_S: i64 = 3;

#[derive(Debug)]
pub(crate) struct Warm {
    socket: UnixDatagram,
    pid: i32,
    /// It has reported that it takes requests.
    is_ready: bool,
    /// Ends that arrived while an answer was awaited.
    ended: VecDeque<Reaped>,
}

/// The reason for which a step was not forked.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The interpreter broke before it had the request: the step can be started without it.
    Before,
    /// It had the request and did not report the outcome.
    After(io::Error),
}

/// A report of the interpreter: a word and numbers.
#[derive(Debug, Clone)]
enum Answer {
    Ready,
    Started(i32),
    Ended(Reaped),
}

// === impl Warm ===

impl Warm {
    /// Starts the interpreter with this environment. The first fork waits until it is ready.
    ///
    /// # Errors
    /// There is no Python.
    pub(crate) fn start(python: &Path, context: &LaunchContext) -> io::Result<Self> {
        let (own, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_send_buffer_size(&own, 2 * MAX_REQUEST_BYTES)?;
        rustix::io::ioctl_fionbio(&own, true)?;
        let child = Command::new(python)
            .args(["-u", "-c", PROGRAM, "serve"])
            .env_clear()
            .envs(&context.environment)
            .current_dir(&context.directory)
            .process_group(0)
            .stdin(Stdio::from(other))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            // Packets of one connected peer: as a datagram socket to everything but its maker.
            socket: UnixDatagram::from_std(own.into())?,
            pid: child.id().cast_signed(),
            is_ready: false,
            ended: VecDeque::new(),
        })
    }

    /// The interpreter's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Forks a process for a step; `None` when this step must be started the plain way.
    ///
    /// # Errors
    /// The interpreter is broken.
    pub(crate) fn fork(
        &mut self,
        program: &Program,
        context: &LaunchContext,
        returned: &Path,
    ) -> Result<Option<Process>, Failed> {
        let Some(request) = request(program, context, returned) else {
            return Ok(None);
        };
        let (stdout, stderr) = self.hand_over(&request).map_err(|_| Failed::Before)?;
        let pid = self.started().map_err(Failed::After)?;
        Ok(Some(Process { pid, stdout, stderr, agent: None }))
    }

    /// Sends a request once the interpreter takes it; gives the ends that the step writes to.
    fn hand_over(&mut self, request: &[u8]) -> io::Result<(OwnedFd, OwnedFd)> {
        while !self.is_ready {
            match self.answer()? {
                Answer::Ready => self.get_ready()?,
                Answer::Started(_) | Answer::Ended(_) => return Err(unexpected()),
            }
        }
        let (stdout, out) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, err) = pipe_with(PipeFlags::CLOEXEC)?;
        let ends = [out.as_fd(), err.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&ends));
        let bytes = [IoSlice::new(request)];
        // Sending a packet is atomic.
        retry_on_intr(|| sendmsg(&self.socket, &bytes, &mut control, SendFlags::NOSIGNAL))?;
        Ok((stdout, stderr))
    }

    fn started(&mut self) -> io::Result<i32> {
        loop {
            match self.answer()? {
                Answer::Started(pid) => return Ok(pid),
                Answer::Ended(ended) => self.ended.push_back(ended),
                Answer::Ready => self.get_ready()?,
            }
        }
    }

    /// The next process that has ended. Cancel-safe.
    ///
    /// # Errors
    /// The interpreter is broken.
    pub(crate) async fn next(&mut self) -> io::Result<Reaped> {
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Ok(ended);
            }
            let mut bytes = [0; MAX_ANSWER_BYTES];
            let count = self.socket.recv(&mut bytes).await?;
            match read(bytes.get(..count).unwrap_or_default())? {
                Answer::Ended(ended) => return Ok(ended),
                Answer::Ready => self.get_ready()?,
                Answer::Started(_) => return Err(unexpected()),
            }
        }
    }

    /// It reports readiness once.
    fn get_ready(&mut self) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.is_ready, true);
        if is_first { Ok(()) } else { Err(unexpected()) }
    }

    /// Waits for an answer, bounded.
    fn answer(&self) -> io::Result<Answer> {
        let socket = &self.socket;
        let patience = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let mut waiting = [PollFd::new(socket, PollFlags::IN)];
        // A child that ends interrupts the wait.
        if retry_on_intr(|| poll(&mut waiting, Some(&patience)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut bytes = [0; MAX_ANSWER_BYTES];
        let (count, _) = retry_on_intr(|| recv(socket, &mut bytes, RecvFlags::empty()))?;
        read(bytes.get(..count).unwrap_or_default())
    }
}

/// The request for a step; `None` when it does not fit into one.
fn request(program: &Program, context: &LaunchContext, returned: &Path) -> Option<Vec<u8>> {
    let (code, call, script, args) = match program {
        Program::PythonCode { code, call, args } => (code.as_str(), call.as_deref(), None, args),
        Program::PythonScript { script, args } => ("", None, Some(script.as_str()), args),
        Program::Shell { .. }
        | Program::WithServices { .. }
        | Program::Agent
        | Program::McpAgent { .. } => return None,
    };
    let mut out = marshal::Writer::default();
    out.dict(|out| {
        out.text("env").dict(|out| {
            for (name, value) in &context.environment {
                out.text(name.to_str()?).text(value.to_str()?);
            }
            Some(())
        })?;
        out.text("cwd").text(context.directory.to_str()?);
        out.text("code").text(code);
        out.text("call").text(call.unwrap_or_default());
        out.text("returned").text(returned.to_str()?);
        match script {
            Some(script) => out.text("script").text(script),
            None => out.text("script").none(),
        };
        out.text("args").list(args);
        Some(())
    })?;
    let bytes = out.finish();
    (bytes.len() <= MAX_REQUEST_BYTES).then_some(bytes)
}

fn read(answer: &[u8]) -> io::Result<Answer> {
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = std::str::from_utf8(answer).map_err(|_| unexpected())?;
    let mut words = text.split(' ');
    let word = words.next().unwrap_or_default();
    let numbers = words.map(|word| word.parse::<i64>().map_err(|_| unexpected()));
    let numbers = numbers.collect::<io::Result<Vec<_>>>()?;
    let small = |number: i64| i32::try_from(number).map_err(|_| unexpected());
    let size = |number: i64| u64::try_from(number).unwrap_or(0);
    match (word, numbers.as_slice()) {
        ("ready", []) => Ok(Answer::Ready),
        ("started", [pid]) => Ok(Answer::Started(small(*pid)?)),
        ("ended", [pid, status, cpu_us, max_rss_kib]) => Ok(Answer::Ended(Reaped {
            pid: small(*pid)?,
            status: ExitStatus::from_raw(small(*status)?),
            cpu_us: size(*cpu_us),
            max_rss_kib: size(*max_rss_kib),
        })),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer that makes no sense")
}
