//! Takes the clock away.
//!
//! `clock_gettime` is answered in user space, so no system call filter sees it. Three measures:
//! the program's own `clock_gettime` stands before libc's and freezes in a child; the time stamp
//! counter is forbidden (x86-64), which also stops native code; the pages the kernel publishes
//! the time on are unmapped where the kernel lets go of them.
//!
//! The frozen function is not only a measure against readers: `CPython` 3.11 reads the monotonic
//! clock whenever it takes a lock, also for a lock without a deadline, and would die of the
//! second measure at odd places.
#![expect(unsafe_code, reason = "it stands in for a C function and unmaps pages")]

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::syscalls::REPORT_DESCRIPTOR;
use crate::report::AUDIT;
use crate::{exit, kernel};

static FROZEN: AtomicBool = AtomicBool::new(false);

/// The pages through which the kernel publishes the time.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages(Vec<Range<usize>>);

impl Pages {
    /// Finds them. They stay where they are across a fork.
    pub(super) fn find() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let pages =
            maps.lines().filter(|line| line.contains(" [v") && !line.ends_with("[vsyscall]"));
        Self(pages.filter_map(range).collect())
    }

    /// Unmaps them, for children. Best effort: newer kernels may protect them.
    fn unmap(&self) {
        for pages in &self.0 {
            // SAFETY: the pages hold no Rust object; libc's only user of them, clock_gettime, is
            // replaced below. A later jump there ends the process, as intended.
            unsafe {
                libc::munmap(pages.start as *mut libc::c_void, pages.len());
            }
        }
    }
}

fn range(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    Some(parse(start)?..parse(end)?)
}

/// From now on there is no time in this process.
#[cfg(target_arch = "x86_64")]
pub(super) fn forbid(pages: &Pages) -> io::Result<()> {
    forbid_counter()?;
    pages.unmap();
    FROZEN.store(true, Ordering::Relaxed);
    Ok(())
}

/// Reading the time stamp counter raises SIGSEGV from now on.
#[cfg(target_arch = "x86_64")]
pub(super) fn forbid_counter() -> io::Result<()> {
    let forbid = u64::from(libc::PR_TSC_SIGSEGV.unsigned_abs());
    kernel::prctl(libc::PR_SET_TSC, forbid, 0).map(drop)
}

/// The counter cannot be forbidden here: the layer is missing, and the operator may allow that by
/// name. The other two measures are still taken.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn forbid(pages: &Pages) -> io::Result<()> {
    pages.unmap();
    FROZEN.store(true, Ordering::Relaxed);
    forbid_counter()
}

/// See [`forbid`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn forbid_counter() -> io::Result<()> {
    let reason = "this architecture cannot forbid reading the counter; after an escape from the \
                  language layer native code could measure time. Allow it by name: tsc";
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

/// Reads the counter; a probe that must not return.
pub(super) fn read_counter() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction touches no memory; being stopped by it is the point.
    let _unused = unsafe { std::arch::x86_64::_rdtsc() };
}

/// Stands before libc's function of this name, for `CPython` and for Rust's standard library.
///
/// Once frozen, the monotonic clock stands at zero, and reading any other ends the process.
///
/// # Safety
/// As for `clock_gettime(2)`: `time` points to a writable `timespec`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> i32 {
    if !FROZEN.load(Ordering::Relaxed) {
        // SAFETY: passed on as it came.
        let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return if result == 0 { 0 } else { -1 };
    }
    if clock != libc::CLOCK_MONOTONIC {
        let mut text = vec![AUDIT];
        text.extend_from_slice(b"clock_gettime");
        drop(kernel::write_all(REPORT_DESCRIPTOR, &text));
        kernel::exit_now(exit::CHILD_DENIED);
    }
    // SAFETY: the caller passes a writable timespec.
    unsafe { time.write(libc::timespec { tv_sec: 0, tv_nsec: 0 }) };
    0
}
