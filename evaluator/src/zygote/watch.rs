//! Watches one child: reads its report, enforces the deadline, reaps it, and classifies its end.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use plue_wire::eval::{
    FAIR_CPU_MS, Killed, MAX_CPU_S, MAX_REPLY_BYTES, MAX_STARVED_MS, MAX_WALL_MS, Usage,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Stop;
use crate::exit;
use crate::kernel::{self, Ended, Spent};
use crate::report::{ID_BYTES, Report};

const WALL_US: u64 = MAX_WALL_MS * 1_000;
/// Time limit for a child that does not get the CPU.
const STARVED_US: u64 = MAX_STARVED_MS * 1_000;
/// Interval of the checks meanwhile.
const LOOK_US: u64 = 50_000;
/// Time for the engine to deliver a request whose first bytes have come.
const DELIVERY_US: u64 = 10 * 1_000_000;
/// Room in a reply for what the zygote adds: id, usage, at most ten bytes each.
const ENVELOPE_BYTES: usize = 64;
/// A child that the kernel kills after this much CPU time was killed for it.
const HARD_CPU_US: u64 = MAX_CPU_S * 1_000_000;

/// Result of a watched child.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    /// Id of the request.
    pub(super) id: u64,
    /// Report of the child, or the cause of its end.
    pub(super) result: ChildResult<'a>,
    /// Cost of the child.
    pub(super) usage: Usage,
}

/// A report that decodes, or an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChildResult<'a> {
    /// Postcard of the outcome and the printed text.
    Outcome(&'a [u8]),
    /// Ended by a signal or a limit.
    Killed(Killed),
}

/// Cause for which the zygote itself ended the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Wall,
    TooLong,
    EngineGone,
}

/// Reads the child's report until it ends, then reaps it.
pub(super) fn until_end<'a>(
    pid: i32,
    pipe: BorrowedFd<'_>,
    region: &'a mut [u8],
    started: u64,
) -> Result<Watched<'a>, Stop> {
    let taken = take_in(pid, pipe, region, started);
    if !matches!(taken, Ok((_, None))) {
        kernel::kill(pid);
    }
    let (ended, spent) = kernel::wait(pid)?;
    let (length, cut) = taken?;
    if cut == Some(Cut::EngineGone) {
        return Err(Stop(exit::DONE));
    }
    let bytes = region.get(..length).unwrap_or_default();
    // Without an id the child never took the whole request out of the socket, and the next bytes
    // there are in the middle of a frame.
    let Some((id, rest)) = bytes.split_first_chunk::<ID_BYTES>() else {
        return Err(Stop(exit::PROTOCOL));
    };
    let Spent { cpu_us, max_rss_kib } = spent;
    let wall_us = kernel::monotonic_us().saturating_sub(started);
    let usage = Usage { cpu_us, wall_us, max_rss_kib };
    let result = classify(ended, cut, cpu_us, rest);
    Ok(Watched { id: u64::from_le_bytes(*id), result, usage })
}

/// Fills the region from the pipe until the child closes it, exits, or must be ended.
fn take_in(
    pid: i32,
    pipe: BorrowedFd<'_>,
    region: &mut [u8],
    started: u64,
) -> io::Result<(usize, Option<Cut>)> {
    let mut length = 0;
    let mut deadline = started + DELIVERY_US;
    let mut starved = deadline;
    loop {
        let now = kernel::monotonic_us();
        if now >= deadline {
            if now >= starved || has_had_its_share(pid) {
                return Ok((length, Some(Cut::Wall)));
            }
            deadline = now + LOOK_US;
        }
        match wait_for(pipe, deadline - now)? {
            Ready::Nothing => continue,
            Ready::EngineGone => return Ok((length, Some(Cut::EngineGone))),
            Ready::Report => {}
        }
        let room = region.get_mut(length..).unwrap_or_default();
        let count = kernel::read(pipe.as_raw_fd(), room)?;
        if count == 0 {
            return Ok((length, None));
        }
        if length < ID_BYTES && length + count >= ID_BYTES {
            // The request is read; from here on it is the file's time.
            let now = kernel::monotonic_us();
            (deadline, starved) = (now + WALL_US, now + STARVED_US);
        }
        length += count;
        if length > ID_BYTES + 1 + MAX_REPLY_BYTES - ENVELOPE_BYTES {
            return Ok((length, Some(Cut::TooLong)));
        }
    }
}

/// True if a child has had so much CPU that its deadline is fair.
fn has_had_its_share(pid: i32) -> bool {
    kernel::cpu_us_of(pid).is_ok_and(|used| used >= FAIR_CPU_MS * 1_000)
}

/// Result of poll(2).
enum Ready {
    Report,
    EngineGone,
    Nothing,
}

fn wait_for(pipe: BorrowedFd<'_>, micros: u64) -> io::Result<Ready> {
    let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
    let timeout = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let engine = rustix::stdio::stdin();
    // For the engine only the end is of interest; poll reports it unasked. An engine that merely
    // stops sending still waits for its reply.
    let mut sources =
        [PollFd::from_borrowed_fd(pipe, PollFlags::IN), PollFd::new(&engine, PollFlags::empty())];
    match poll(&mut sources, Some(&timeout)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Ready::Nothing),
        Err(error) => return Err(error.into()),
    }
    let [report, engine] = &sources;
    Ok(if !report.revents().is_empty() {
        Ready::Report
    } else if engine.revents().intersects(PollFlags::HUP | PollFlags::ERR) {
        Ready::EngineGone
    } else {
        Ready::Nothing
    })
}

/// Classifies the end of a child, by the kernel's status first and its own report last.
fn classify(ended: Ended, cut: Option<Cut>, cpu_us: u64, report: &[u8]) -> ChildResult<'_> {
    let killed = match (cut, ended) {
        // Its CPU time had run out as well; only the timer had not struck yet.
        (Some(Cut::Wall), _) if cpu_us >= HARD_CPU_US => Killed::Cpu,
        (Some(Cut::Wall), _) => Killed::Wall,
        (Some(Cut::TooLong | Cut::EngineGone), _) => {
            Killed::BadReply(format!("it is over the limit of {MAX_REPLY_BYTES} bytes"))
        }
        (None, Ended::Signal(libc::SIGPROF | libc::SIGXCPU)) => Killed::Cpu,
        (None, Ended::Signal(libc::SIGKILL)) if cpu_us >= HARD_CPU_US => Killed::Cpu,
        (None, Ended::Signal(libc::SIGSYS)) => {
            Killed::Denied("seccomp: a system call that is not on the list".to_owned())
        }
        (None, Ended::Signal(signal)) => Killed::Crashed(signal_in_words(signal)),
        (None, Ended::Exit(status)) => return classify_exit(status, report),
    };
    ChildResult::Killed(killed)
}

fn classify_exit(status: i32, bytes: &[u8]) -> ChildResult<'_> {
    let report = Report::parse(bytes);
    ChildResult::Killed(match (status, report) {
        (exit::DONE, Report::Outcome(bytes)) => return ChildResult::Outcome(bytes),
        (exit::DONE, Report::Audit(_) | Report::Panic(_)) => {
            Killed::BadReply("it is a last word, but the child went on".to_owned())
        }
        (exit::DONE, Report::Malformed(reason)) => Killed::BadReply(reason.to_owned()),
        (exit::CHILD_MEMORY, _) => Killed::Memory,
        (exit::CHILD_DENIED, Report::Audit(event)) => Killed::Denied(format!("audit: {event}")),
        (exit::CHILD_PANIC | exit::CHILD_JAIL, Report::Panic(place)) => {
            Killed::Crashed(format!("the evaluator failed: {place}"))
        }
        (exit::CHILD_REPLY, _) => Killed::BadReply("it could not be written".to_owned()),
        (status, _) => Killed::Crashed(format!("exit status {status}")),
    })
}

fn signal_in_words(signal: i32) -> String {
    match signal {
        libc::SIGSEGV => {
            "signal 11 (SIGSEGV): native stack overflow, bad memory access or clock read".to_owned()
        }
        libc::SIGKILL => "signal 9 (SIGKILL): killed from outside, perhaps for memory".to_owned(),
        libc::SIGABRT => "signal 6 (SIGABRT)".to_owned(),
        libc::SIGBUS => "signal 7 (SIGBUS)".to_owned(),
        libc::SIGILL => "signal 4 (SIGILL)".to_owned(),
        libc::SIGFPE => "signal 8 (SIGFPE)".to_owned(),
        other => format!("signal {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(ended: Ended, report: &[u8]) -> ChildResult<'_> {
        classify(ended, None, 0, report)
    }

    #[test]
    fn a_child_that_claims_an_audit_event_but_exits_well_is_a_bad_reply() {
        let result = classified(Ended::Exit(exit::DONE), b"Aopen");
        assert!(matches!(result, ChildResult::Killed(Killed::BadReply(_))), "{result:?}");
    }

    #[test]
    fn the_kernels_word_beats_the_childs() {
        let mut report = vec![crate::report::OUTCOME];
        report.extend(postcard::to_allocvec(&(1_u32, 0_u32, 0_u32)).unwrap());
        let result = classified(Ended::Signal(libc::SIGPROF), &report);
        assert_eq!(result, ChildResult::Killed(Killed::Cpu));
    }

    #[test]
    fn a_child_that_used_its_cpu_time_was_ended_for_it_even_at_the_deadline() {
        let cut = |cpu_us| classify(Ended::Signal(libc::SIGKILL), Some(Cut::Wall), cpu_us, b"");
        assert_eq!(cut(HARD_CPU_US), ChildResult::Killed(Killed::Cpu));
        assert_eq!(cut(HARD_CPU_US - 1), ChildResult::Killed(Killed::Wall));
    }

    #[test]
    fn an_exit_status_that_means_nothing_is_a_crash() {
        let result = classified(Ended::Exit(77), b"");
        assert_eq!(result, ChildResult::Killed(Killed::Crashed("exit status 77".to_owned())));
    }
}
