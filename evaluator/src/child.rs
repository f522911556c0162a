//! The short life of a child: read the request, lock the door, evaluate, report, end.
//!
//! The request is read here and not in the zygote, so that one repository's sources are never in
//! the memory from which another's child is forked. Must not return to the zygote's code.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use plue_wire::eval::{EvalOutcome, EvalRequest};
use plue_wire::frame;
use pyo3::prelude::*;

use crate::jail::syscalls::REPORT_DESCRIPTOR;
use crate::jail::{self, Jail, LayerName};
use crate::report::{self, PANIC};
use crate::{exit, kernel};

/// The engine's end of the conversation.
pub(crate) const ENGINE_DESCRIPTOR: i32 = 0;
/// Bytes of a panic's place that are reported.
const PANIC_BYTES: usize = 120;

/// Request and descriptors of a child.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    /// The jail, not yet locked.
    pub(crate) jail: &'a Jail,
    /// The writing end of the report pipe.
    pub(crate) report: BorrowedFd<'a>,
    /// Bytes of the request that are still in the socket.
    pub(crate) length: usize,
    /// Bytes of address space that were mapped before the fork.
    pub(crate) mapped: u64,
    /// The zygote's process id.
    pub(crate) parent: i32,
    /// Run the file without the language layer; never set in a release.
    pub(crate) raw: bool,
}

/// Runs the whole life of a child; never returns.
pub(crate) fn live(py: Python<'_>, task: &Task<'_>) -> ! {
    jail::enter_child();
    let Ok(request) = start(task) else { kernel::exit_now(exit::CHILD_REQUEST) };
    if let Err(layer) = task.jail.lock(task.report, task.mapped) {
        say_layer(layer);
        kernel::exit_now(exit::CHILD_JAIL);
    }
    let evaluated = catch_unwind(AssertUnwindSafe(|| evaluate(py, task.raw, &request)));
    let Ok((outcome, printed)) = evaluated else { kernel::exit_now(exit::CHILD_PANIC) };
    let sent = report::encode(&outcome, &printed)
        .map_err(io::Error::other)
        .and_then(|bytes| kernel::write_all(REPORT_DESCRIPTOR, &bytes));
    kernel::exit_now(if sent.is_ok() { exit::DONE } else { exit::CHILD_REPLY })
}

/// Everything that happens before the door is locked; none of the file's code is looked at.
fn start(task: &Task<'_>) -> io::Result<EvalRequest> {
    let signal = u64::from(libc::SIGKILL.unsigned_abs());
    kernel::prctl(libc::PR_SET_PDEATHSIG, signal, 0)?;
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    if parent != Some(task.parent) {
        return Err(io::Error::other("the zygote is gone"));
    }
    let mut body = vec![0; task.length];
    read_exact(ENGINE_DESCRIPTOR, &mut body)?;
    let request: EvalRequest = frame::decode(&body).map_err(io::Error::other)?;
    drop(body);
    kernel::write_all(task.report.as_raw_fd(), &request.id.to_le_bytes())?;
    Ok(request)
}

/// Fills the buffer; the end of the stream before that is an error.
///
/// # Errors
/// Errors of read(2), or [`io::ErrorKind::UnexpectedEof`].
pub(crate) fn read_exact(descriptor: i32, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = kernel::read(descriptor, buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = buffer.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(not(feature = "raw-language"))]
fn evaluate(py: Python<'_>, _raw: bool, request: &EvalRequest) -> (EvalOutcome, String) {
    crate::language::evaluate(py, request)
}

#[cfg(feature = "raw-language")]
fn evaluate(py: Python<'_>, raw: bool, request: &EvalRequest) -> (EvalOutcome, String) {
    if raw { crate::raw::evaluate(py, request) } else { crate::language::evaluate(py, request) }
}

fn say_layer(layer: LayerName) {
    let mut text = vec![PANIC];
    text.extend_from_slice(b"the jail's layer ");
    text.extend_from_slice(layer.as_str().as_bytes());
    // The pipe may sit on either number, depending on how far the locking came.
    drop(kernel::write_all(REPORT_DESCRIPTOR, &text));
}

/// Reports where Rust code panicked instead of printing it: a locked child has no stderr.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        if !jail::in_child() {
            return;
        }
        let mut text = vec![PANIC];
        if let Some(place) = info.location() {
            text.extend_from_slice(format!("{}:{}", place.file(), place.line()).as_bytes());
        }
        text.truncate(PANIC_BYTES);
        drop(kernel::write_all(REPORT_DESCRIPTOR, &text));
        kernel::exit_now(exit::CHILD_PANIC);
    }));
}
