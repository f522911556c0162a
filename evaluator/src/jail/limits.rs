//! Resource limits of zygote and child.
//!
//! Must not hold numbers that the protocol states: those come from `plue_wire::eval`.

use std::io;
use std::time::Duration;

use plue_wire::eval::{MAX_CPU_S, MAX_MEMORY_BYTES};

use crate::kernel;

/// Bytes of stack, the same on every machine.
const STACK_BYTES: u64 = 8 * 1024 * 1024;
/// CPU seconds after which the kernel kills, should the timer fail.
const HARD_CPU_S: u64 = 2 * MAX_CPU_S;

/// Limits of the zygote: no core files, a fixed stack.
///
/// # Errors
/// Errors of setrlimit(2).
pub(super) fn harden_zygote() -> io::Result<()> {
    kernel::limit(libc::RLIMIT_CORE, 0, 0)?;
    let hard = rustix::process::getrlimit(rustix::process::Resource::Stack).maximum;
    let stack = hard.map_or(STACK_BYTES, |hard| hard.min(STACK_BYTES));
    kernel::limit(libc::RLIMIT_STACK, stack, stack)
}

/// Limits of a child whose address space has `mapped` bytes now.
///
/// # Errors
/// Errors of setrlimit(2).
pub(super) fn lock_child(mapped: u64) -> io::Result<()> {
    let space = mapped.saturating_add(MAX_MEMORY_BYTES);
    kernel::limit(libc::RLIMIT_AS, space, space)?;
    kernel::limit(libc::RLIMIT_CPU, HARD_CPU_S, HARD_CPU_S)?;
    for none in [
        libc::RLIMIT_CORE,
        libc::RLIMIT_FSIZE,
        libc::RLIMIT_NOFILE,
        libc::RLIMIT_NPROC,
        libc::RLIMIT_MEMLOCK,
        libc::RLIMIT_MSGQUEUE,
    ] {
        kernel::limit(none, 0, 0)?;
    }
    Ok(())
}

/// Arms the timer that ends the child after [`MAX_CPU_S`] of CPU time.
///
/// # Errors
/// Errors of `timer_create(2)` and `timer_settime(2)`.
pub(super) fn arm_timer() -> io::Result<()> {
    kernel::cpu_timer(Duration::from_secs(MAX_CPU_S))
}
