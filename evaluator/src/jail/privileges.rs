//! Gives up every privilege the evaluator may have been started with.
//!
//! Must run before Landlock and seccomp: both outlive it.

use std::io;

use crate::kernel;

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;
/// Highest capability number to drop; the kernel answers EINVAL past its own last one.
const MAX_CAPABILITY: u64 = 63;

/// Empties the capability bounding set, if permitted.
///
/// # Errors
/// Errors of prctl(2), except that a process without `CAP_SETPCAP` cannot and need not:
/// `no_new_privs` already denies it everything for good. The probe decides.
pub(super) fn empty_bounding_set() -> io::Result<()> {
    for capability in 0..=MAX_CAPABILITY {
        match kernel::prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => break,
            Err(error) => return Err(error),
        }
    }
    let none = 0;
    // Ambient capabilities would survive; clearing them needs no privilege.
    let clear = u64::from(libc::PR_CAP_AMBIENT_CLEAR_ALL.unsigned_abs());
    kernel::prctl(libc::PR_CAP_AMBIENT, clear, none).map(drop)
}

/// Switches root to the unprivileged user 65534; any other user stays.
///
/// # Errors
/// If root may not change its user, as in a container without `CAP_SETUID`.
pub(super) fn leave_root() -> io::Result<String> {
    let user = rustix::process::geteuid();
    if !user.is_root() && !rustix::process::getuid().is_root() {
        return Ok(format!("started as user {}", user.as_raw()));
    }
    kernel::become_user(NOBODY)?;
    Ok(format!("root became user {NOBODY}"))
}

/// Programs started from here never gain privileges.
///
/// # Errors
/// Errors of prctl(2).
pub(super) fn no_new_privs() -> io::Result<()> {
    kernel::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Other processes of the same user may not read this one's memory.
///
/// # Errors
/// Errors of prctl(2).
pub(super) fn undumpable() -> io::Result<()> {
    kernel::prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// The first to go when memory is short. Not a layer: failure is ignored.
pub(super) fn first_to_be_killed() {
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
}
