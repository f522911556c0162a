//! The zygote: a warm interpreter that forks one child per request and watches it.
//!
//! It holds no secret and nothing of any file: requests are read by the child, reports pass
//! through a region that is wiped after each. One request at a time; the engine runs several
//! zygotes.

mod watch;

use std::io;
use std::os::fd::AsFd;

use plue_wire::eval::{EvalReply, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Usage};
use plue_wire::frame::{self, PREFIX_BYTES};
use pyo3::prelude::*;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::child::{self, ENGINE_DESCRIPTOR, Task};
use crate::jail::Jail;
use crate::kernel::{self, Fork, Region};
use crate::{exit, interpreter};
use watch::{ChildResult, Watched};

/// Bytes of a report that are taken in: a whole reply and one more, to see that it is too long.
const REGION_BYTES: usize = MAX_REPLY_BYTES + 1;

/// Exit status of a zygote that stops serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop(pub(crate) i32);

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self(exit::SYSTEM)
    }
}

/// Serves until the engine closes the socket.
#[must_use]
pub(crate) fn serve(py: Python<'_>, jail: &Jail, raw: bool) -> Stop {
    let run = || -> Result<Stop, Stop> {
        let mut region = Region::new(REGION_BYTES)?;
        while let Some(length) = next_request()? {
            let shape = Request { length, raw };
            answer(py, jail, &mut region, shape)?;
            region.wipe()?;
        }
        Ok(Stop(exit::DONE))
    };
    run().unwrap_or_else(|stop| stop)
}

/// The length of the next request, or none at the end of the stream.
fn next_request() -> Result<Option<usize>, Stop> {
    let mut prefix = [0; PREFIX_BYTES];
    match kernel::read(ENGINE_DESCRIPTOR, &mut prefix) {
        Ok(0) => return Ok(None),
        Ok(count) => {
            let rest = prefix.get_mut(count..).unwrap_or_default();
            child::read_exact(ENGINE_DESCRIPTOR, rest).map_err(|_| Stop(exit::PROTOCOL))?;
        }
        // A peer that is killed with unread replies resets the connection.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    frame::length(prefix, MAX_REQUEST_BYTES).map(Some).map_err(|_| Stop(exit::PROTOCOL))
}

/// A request before anybody has read it.
#[derive(Debug, Clone, Copy)]
struct Request {
    length: usize,
    raw: bool,
}

fn answer(py: Python<'_>, jail: &Jail, region: &mut Region, request: Request) -> Result<(), Stop> {
    let Request { length, raw } = request;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let mapped = jail.mapped()?;
    let parent = rustix::process::getpid().as_raw_pid();
    let started = kernel::monotonic_us();
    let pid = match interpreter::fork(py)? {
        Fork::Child => {
            let report = writer.as_fd();
            child::live(py, &Task { jail, report, length, mapped, parent, raw })
        }
        Fork::Parent(pid) => pid,
    };
    drop(writer);
    let watched = watch::until_end(pid, reader.as_fd(), region.bytes(), started)?;
    let Watched { id, result, usage } = watched;
    match result {
        ChildResult::Outcome(bytes) => send_spliced(id, bytes, usage),
        ChildResult::Killed(killed) => {
            let outcome = plue_wire::eval::EvalOutcome::Killed(killed);
            let reply = EvalReply { id, outcome, printed: String::new(), usage };
            let bytes = frame::encode(&reply, MAX_REPLY_BYTES).map_err(|_| Stop(exit::SYSTEM))?;
            send(&[&bytes])
        }
    }
}

/// Sends a reply around an outcome that stays as the bytes that came: postcard writes the fields
/// of a struct one after the other, so a reply is its id, the child's bytes, and the usage.
fn send_spliced(id: u64, outcome_and_printed: &[u8], usage: Usage) -> Result<(), Stop> {
    let encode = |result: Result<Vec<u8>, postcard::Error>| result.map_err(|_| Stop(exit::SYSTEM));
    let head = encode(postcard::to_extend(&id, Vec::new()))?;
    let tail = encode(postcard::to_extend(&usage, Vec::new()))?;
    let length = head.len() + outcome_and_printed.len() + tail.len();
    let prefix = u32::try_from(length).map_err(|_| Stop(exit::SYSTEM))?.to_le_bytes();
    send(&[&prefix, &head, outcome_and_printed, &tail])
}

fn send(parts: &[&[u8]]) -> Result<(), Stop> {
    for part in parts {
        // The engine is gone, so there is no client left.
        kernel::write_all(ENGINE_DESCRIPTOR, part).map_err(|_| Stop(exit::DONE))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plue_wire::eval::{EvalOutcome, Need};

    use super::*;

    #[test]
    fn a_spliced_reply_reads_as_the_reply_it_stands_for() {
        let outcome = EvalOutcome::Needs(vec![Need::Glob("*.rs".to_owned())]);
        let usage = Usage { cpu_us: 300, wall_us: 70_000, max_rss_kib: 1 };
        let printed = "p".to_owned();
        let mut spliced = postcard::to_extend(&7_u64, Vec::new()).unwrap();
        spliced = postcard::to_extend(&(&outcome, &printed), spliced).unwrap();
        spliced = postcard::to_extend(&usage, spliced).unwrap();
        let reply = EvalReply { id: 7, outcome, printed, usage };
        assert_eq!(frame::decode::<EvalReply>(&spliced).unwrap(), reply);
    }
}
