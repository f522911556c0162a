//! Takes the clock away: `clock_gettime` is answered in user space, so no system call filter
//! sees it; the time stamp counter it reads can be forbidden on x86-64.

use std::io;

/// From now on reading the time stamp counter raises SIGSEGV.
///
/// # Errors
/// What prctl(2) says.
#[cfg(target_arch = "x86_64")]
pub(super) fn forbid() -> io::Result<()> {
    let forbid = u64::from(libc::PR_TSC_SIGSEGV.unsigned_abs());
    crate::kernel::prctl(libc::PR_SET_TSC, forbid, 0).map(drop)
}

/// There is no such switch here: the layer is missing, and the operator may allow that by name.
///
/// # Errors
/// Always [`io::ErrorKind::Unsupported`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn forbid() -> io::Result<()> {
    let reason = "this architecture cannot forbid reading the clock; after an escape from the \
                  language layer a file could see the time. Allow it by name: tsc";
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

/// Reads the clock the way user-space code can; a probe that must not return.
pub(super) fn read() {
    let _unused = crate::kernel::monotonic_us();
}
