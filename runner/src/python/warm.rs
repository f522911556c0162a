//! The warm interpreter: one process that forks another for each Python step, within a
//! millisecond instead of the ten that an interpreter takes to start.
//!
//! Whatever goes wrong here only costs time: the step is then started the plain way. Must not
//! outlive a broken or doubtful interpreter.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::AsFd as _,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use plue_wire::runner::Program;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType, recv, sendmsg, socketpair, sockopt,
    },
    pipe::{PipeFlags, pipe_with},
};
use serde::{Deserialize, Serialize};
use tokio::net::UnixDatagram;

use super::PROGRAM;
use crate::{
    attempt::launch::{Place, Process},
    system::Reaped,
};

/// Bytes of a request at most; a larger one is started the plain way.
const MAX_REQUEST_BYTES: usize = 192 * 1024;
/// Bytes of an answer at most.
const MAX_ANSWER_BYTES: usize = 4 * 1024;
/// Seconds until an interpreter that does not answer counts as broken. The dispatcher waits that
/// long at worst, once.
const PATIENCE_S: i64 = 3;

/// See the module.
#[derive(Debug)]
pub(crate) struct Warm {
    socket: UnixDatagram,
    pid: i32,
    /// Ends that arrived while an answer was awaited.
    ended: VecDeque<Reaped>,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    env: BTreeMap<&'a str, &'a str>,
    cwd: &'a str,
    code: &'a str,
    call: &'a str,
    returned: &'a str,
    script: Option<&'a str>,
    args: &'a [String],
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ready(bool),
    Started(i32),
    Ended(Ended),
}

#[derive(Debug, Deserialize)]
struct Ended {
    pid: i32,
    status: i32,
    cpu_us: u64,
    max_rss_kib: u64,
}

// === impl Warm ===

impl Warm {
    /// Starts the interpreter with this environment and waits until it is ready.
    ///
    /// # Errors
    /// There is no Python, or it does not become ready.
    pub(crate) fn start(python: &Path, place: &Place) -> io::Result<Self> {
        let (own, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_send_buffer_size(&own, 2 * MAX_REQUEST_BYTES)?;
        rustix::io::ioctl_fionbio(&own, true)?;
        let child = Command::new(python)
            .args(["-u", "-c", PROGRAM, "serve"])
            .env_clear()
            .envs(&place.environment)
            .current_dir(&place.directory)
            .process_group(0)
            .stdin(Stdio::from(other))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let warm = Self {
            // Packets of one connected peer: as a datagram socket to everything but its maker.
            socket: UnixDatagram::from_std(own.into())?,
            pid: child.id().cast_signed(),
            ended: VecDeque::new(),
        };
        match warm.answer()? {
            Answer::Ready(true) => Ok(warm),
            Answer::Ready(false) | Answer::Started(_) | Answer::Ended(_) => Err(unexpected()),
        }
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
        place: &Place,
        returned: &Path,
    ) -> io::Result<Option<Process>> {
        let Some(request) = request(program, place, returned) else {
            return Ok(None);
        };
        let (stdout, out) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, err) = pipe_with(PipeFlags::CLOEXEC)?;
        let ends = [out.as_fd(), err.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&ends));
        let bytes = [IoSlice::new(&request)];
        sendmsg(&self.socket, &bytes, &mut control, SendFlags::NOSIGNAL)?;
        loop {
            match self.answer()? {
                Answer::Started(pid) => {
                    return Ok(Some(Process { pid, stdout, stderr }));
                }
                Answer::Ended(ended) => self.ended.push_back(ended.into()),
                Answer::Ready(_) => return Err(unexpected()),
            }
        }
    }

    /// The next process that has ended. Cancel-safe.
    ///
    /// # Errors
    /// The interpreter is broken.
    pub(crate) async fn next(&mut self) -> io::Result<Reaped> {
        if let Some(ended) = self.ended.pop_front() {
            return Ok(ended);
        }
        let mut bytes = [0; MAX_ANSWER_BYTES];
        let count = self.socket.recv(&mut bytes).await?;
        match read(bytes.get(..count).unwrap_or_default())? {
            Answer::Ended(ended) => Ok(ended.into()),
            Answer::Ready(_) | Answer::Started(_) => Err(unexpected()),
        }
    }

    /// Waits for an answer, bounded.
    fn answer(&self) -> io::Result<Answer> {
        let socket = &self.socket;
        let patience = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let mut waiting = [PollFd::new(socket, PollFlags::IN)];
        if poll(&mut waiting, Some(&patience))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut bytes = [0; MAX_ANSWER_BYTES];
        let (count, _) = recv(socket, &mut bytes, RecvFlags::empty())?;
        read(bytes.get(..count).unwrap_or_default())
    }
}

impl From<Ended> for Reaped {
    fn from(ended: Ended) -> Self {
        Self {
            pid: ended.pid,
            status: ExitStatus::from_raw(ended.status),
            cpu_us: ended.cpu_us,
            max_rss_kib: ended.max_rss_kib,
        }
    }
}

/// The request for a step; `None` when it does not fit into one.
fn request(program: &Program, place: &Place, returned: &Path) -> Option<Vec<u8>> {
    let (code, call, script, args) = match program {
        Program::PythonCode { code, call, args } => (code.as_str(), call.as_deref(), None, args),
        Program::PythonScript { script, args } => ("", None, Some(script.as_str()), args),
        Program::Shell { .. } => return None,
    };
    let environment = place.environment.iter();
    let environment = environment.map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    let request = Request {
        env: environment.collect::<Option<_>>()?,
        cwd: place.directory.to_str()?,
        code,
        call: call.unwrap_or_default(),
        returned: returned.to_str()?,
        script,
        args,
    };
    let bytes = serde_json::to_vec(&request).ok()?;
    (bytes.len() <= MAX_REQUEST_BYTES).then_some(bytes)
}

fn read(answer: &[u8]) -> io::Result<Answer> {
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(answer).map_err(|_| unexpected())
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer that makes no sense")
}
