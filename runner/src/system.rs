//! The few system calls that neither std nor rustix offers safely: reaping with resource usage, and
//! inherited file descriptors.
//!
//! Every `unsafe` of this crate is here. Must not decide anything.
#![expect(
    unsafe_code,
    reason = "wait4, close_range, ioprio_get, keyctl and inherited descriptors have no safe wrapper"
)]

use std::{
    io,
    os::{
        fd::{FromRawFd as _, OwnedFd, RawFd},
        unix::process::ExitStatusExt as _,
    },
    process::ExitStatus,
};

/// A child that ended and was reaped.
#[derive(Debug, Clone)]
pub(crate) struct Reaped {
    /// Id of the process.
    pub(crate) pid: i32,
    /// Exit status or signal.
    pub(crate) status: ExitStatus,
    /// CPU microseconds of it and the children it waited for.
    pub(crate) cpu_us: u64,
    /// The largest resident size of it or of a child it waited for, in KiB.
    pub(crate) max_rss_kib: u64,
}

/// The outcome of a search for an ended child.
#[derive(Debug, Clone)]
pub(crate) enum Reap {
    /// This one has ended.
    Ended(Reaped),
    /// There are children, and all of them live.
    Living,
    /// There are no children.
    Childless,
}

/// Reaps one child that has ended, if there is one.
pub(crate) fn reap_one() -> Reap {
    let mut status = 0;
    // SAFETY: `rusage` is plain data for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals of the types that wait4 writes.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match pid {
        0 => Reap::Living,
        1.. => Reap::Ended(Reaped {
            pid,
            status: ExitStatus::from_raw(status),
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        }),
        _ => Reap::Childless,
    }
}

fn micros(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}

/// Takes over a descriptor that the parent process left open for this one.
///
/// # Errors
/// When no such descriptor is open.
pub(crate) fn take_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only reads a flag and is defined for any number.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, was passed to this process by number, and the caller calls
    // this once per number before anything else opens descriptors.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The priority of this process at disks.
///
/// # Errors
/// The kernel does not answer.
pub(crate) fn io_priority() -> io::Result<i64> {
    const OF_PROCESS: libc::c_long = 1;
    const ITSELF: libc::c_long = 0;
    // SAFETY: the call takes two numbers and returns one.
    let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, OF_PROCESS, ITSELF) };
    if priority < 0 { Err(io::Error::last_os_error()) } else { Ok(priority) }
}

/// Takes a session keyring of its own, which is empty, in place of the inherited one.
pub(crate) fn leave_session_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let nameless = std::ptr::null::<libc::c_char>();
    // SAFETY: the call takes a null pointer for a keyring without a name. On a kernel without keyrings,
    // or where they are denied, there is none to be inherited.
    let _no_keyrings = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nameless) };
}

/// Closes every descriptor from 3 up in processes that this one starts.
pub(crate) fn close_inherited_on_exec() {
    let flag = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: the call only sets a flag on descriptors. On a kernel without it nothing changes.
    let _unsupported_before_5_11 =
        unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, flag) };
}
