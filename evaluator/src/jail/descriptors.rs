//! Leaves a child with /dev/null three times and its report pipe, nothing else.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::syscalls::REPORT_DESCRIPTOR;
use crate::kernel;

const REPORT: u32 = 4;
const _: () = assert!(REPORT as i32 == REPORT_DESCRIPTOR);

/// Rearranges the table; every other descriptor is closed.
///
/// # Errors
/// Errors of dup2(2) and `close_range(2)`.
pub(super) fn reduce(null: BorrowedFd<'_>, report: BorrowedFd<'_>) -> io::Result<()> {
    // High copies first: either may sit on a number that is about to be overwritten.
    let null = rustix::io::fcntl_dupfd_cloexec(null, 16)?;
    let report = rustix::io::fcntl_dupfd_cloexec(report, 16)?;
    for standard in 0..3 {
        kernel::copy_descriptor(null.as_raw_fd(), standard)?;
    }
    kernel::copy_descriptor(report.as_raw_fd(), REPORT_DESCRIPTOR)?;
    std::mem::forget((null, report));
    kernel::close_each(3..REPORT_DESCRIPTOR);
    kernel::close_from(REPORT + 1)
}
