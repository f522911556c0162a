//! Safe wrappers around the few system calls that `rustix` does not offer.
//!
//! Must not decide anything: policy lives in `jail` and `zygote`.
#![expect(unsafe_code, reason = "system calls without a safe wrapper elsewhere")]

use std::io;
use std::ops::Range;
use std::time::Duration;

/// Side of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The parent, with the child's process id.
    Parent(i32),
    /// This process is the child.
    Child,
}

/// Exit of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exit(i32),
    /// Killed by this signal.
    Signal(i32),
}

/// Resources used by a reaped process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// User and system CPU time in microseconds.
    pub cpu_us: u64,
    /// Peak resident memory in KiB.
    pub max_rss_kib: u64,
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks. The caller must be single-threaded; the evaluator asserts that before it serves.
///
/// # Errors
/// Errors of fork(2).
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the process has one thread, so the child has no lock without an owner.
    let pid = unsafe { libc::fork() };
    Ok(match check(pid.into())? {
        0 => Fork::Child,
        _ => Fork::Parent(pid),
    })
}

/// Waits for a child and reaps it.
///
/// # Errors
/// Errors of wait4(2).
pub fn wait(pid: i32) -> io::Result<(Ended, Spent)> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals.
        let result = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        match check(result.into()) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Exit(libc::WEXITSTATUS(status))
    };
    let micros = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    let spent = Spent {
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    };
    Ok((ended, spent))
}

/// Ends this process at once: no destructors, no exit handlers, no flushing.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Kills a process; one that is already gone is no error.
pub fn kill(pid: i32) {
    // SAFETY: kill has no memory preconditions; the pid is a child that is not reaped yet.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
    }
}

/// Makes a system call by number without pointers; for probes and tests.
///
/// # Errors
/// Errors of the kernel.
pub fn syscall(number: i64, arguments: [u64; 6]) -> io::Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: only called in forked children that exist to be hurt; no Rust memory is passed.
    check(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// prctl(2) with integer arguments.
///
/// # Errors
/// Errors of the kernel.
pub fn prctl(option: i32, a: u64, b: u64) -> io::Result<i32> {
    // SAFETY: callers pass options whose arguments are integers, not pointers.
    let result = unsafe { libc::prctl(option, a, b, 0_u64, 0_u64) };
    check(result.into()).map(|_| result)
}

/// Switches to this user and group, without supplementary groups, for good.
///
/// # Errors
/// Error of the first call that fails.
pub fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: an empty group list needs no memory; the other calls take integers.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()).into())?;
        check(libc::setresgid(id, id, id).into())?;
        check(libc::setresuid(id, id, id).into())?;
    }
    Ok(())
}

/// Sets soft and hard value of a resource limit.
///
/// # Errors
/// Errors of setrlimit(2).
pub fn limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let value = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::setrlimit(resource, &raw const value) }.into()).map(drop)
}

/// Arms a timer that sends SIGPROF after so much CPU time of this process. It is not `ITIMER_PROF`,
/// which counts whole ticks and strikes a tick late: this one counts the used time, and strikes at
/// the next tick (4 ms on most kernels).
///
/// # Errors
/// Errors of `timer_create(2)` and `timer_settime(2)`.
pub fn cpu_timer(after: Duration) -> io::Result<()> {
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: after.subsec_nanos().into(),
    };
    let setting = libc::itimerspec { it_interval: none, it_value: value };
    // SAFETY: an all-zero sigevent is valid (SIGEV_SIGNAL, no value); both structures and the
    // new timer's id are live locals, and the old value is not requested.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGPROF;
        let mut timer: libc::timer_t = std::mem::zeroed();
        let clock = libc::CLOCK_PROCESS_CPUTIME_ID;
        check(libc::timer_create(clock, &raw mut event, &raw mut timer).into())?;
        let result = libc::timer_settime(timer, 0, &raw const setting, std::ptr::null_mut());
        check(result.into()).map(drop)
    }
}

/// Makes `to` a copy of `from`, without close-on-exec.
///
/// # Errors
/// Errors of dup2(2).
pub fn copy_descriptor(from: i32, to: i32) -> io::Result<()> {
    // SAFETY: descriptors are plain numbers; the child owns its whole table.
    check(unsafe { libc::dup2(from, to) }.into()).map(drop)
}

/// Closes every descriptor from `first` on.
///
/// # Errors
/// Errors of `close_range(2)`.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the child owns its whole descriptor table and uses none of these afterwards.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Closes these descriptors, open or not.
pub fn close_each(range: Range<i32>) {
    for descriptor in range {
        // SAFETY: as in `close_from`.
        unsafe {
            libc::close(descriptor);
        }
    }
}

/// Writes all bytes to a descriptor by number.
///
/// # Errors
/// Errors of write(2).
pub fn write_all(descriptor: i32, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: pointer and length describe a live slice.
        let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Reads into `buffer` from a descriptor by number; 0 is the end.
///
/// # Errors
/// Errors of read(2).
pub fn read(descriptor: i32, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: pointer and length describe a live, writable slice.
        let count = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// True if a descriptor of this number is open.
#[must_use]
pub fn is_open(descriptor: i32) -> bool {
    // SAFETY: F_GETFD takes no further argument and touches no memory.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
}

/// Reads a byte of the parent's memory, at an address that is mapped there too.
///
/// # Errors
/// Errors of `process_vm_readv(2)`.
pub fn read_memory_of_parent() -> io::Result<()> {
    let mut byte = 0_u8;
    let here = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: both vectors describe one byte; the parent was forked, so the address is its, too.
    let result = unsafe {
        libc::process_vm_readv(libc::getppid(), &raw const here, 1, &raw const here, 1, 0)
    };
    check(i64::try_from(result).unwrap_or(-1)).map(drop)
}

/// Microseconds of the monotonic clock.
#[must_use]
pub fn monotonic_us() -> u64 {
    clock_us(rustix::time::ClockId::Monotonic)
}

/// Microseconds of CPU that this process has used: what a timer of CPU time counts, however busy
/// the machine is.
#[must_use]
pub fn cpu_us() -> u64 {
    clock_us(rustix::time::ClockId::ProcessCPUTime)
}

/// Microseconds of CPU that a running child has used.
///
/// # Errors
/// Errors of `clock_gettime(2)`.
pub fn cpu_us_of(pid: i32) -> io::Result<u64> {
    // The kernel's encoding of "CPU time of this process" (clock_getcpuclockid(3)).
    let clock = (!i64::from(pid) << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) })?;
    let micros = u64::try_from(time.tv_nsec / 1_000).unwrap_or(0);
    Ok(u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + micros)
}

fn clock_us(clock: rustix::time::ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    let micros = u64::try_from(now.tv_nsec / 1_000).unwrap_or(0);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + micros
}

/// Gives every signal its default action and unblocks all, except that SIGPIPE stays ignored.
///
/// Ignored and blocked signals survive exec, and Rust's runtime installs a SIGSEGV handler that
/// writes to stderr, which the jail would turn into a misleading SIGSYS.
pub fn default_signals() {
    for number in 1..=64 {
        if number != libc::SIGKILL && number != libc::SIGSTOP && number != libc::SIGPIPE {
            // SAFETY: SIG_DFL is a valid disposition for every signal; errors do not matter.
            unsafe {
                libc::signal(number, libc::SIG_DFL);
            }
        }
    }
    // SAFETY: an all-zero sigset_t is the empty set on Linux; the pointer is to a live local.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Keeps freed memory from lingering: large blocks are always maps of their own.
pub fn fixed_malloc_thresholds() {
    // SAFETY: mallopt takes two integers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 512 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1024 * 1024);
    }
}

/// A fixed range of zeroed memory whose pages are given back after each use.
#[derive(Debug)]
pub struct Region {
    start: *mut u8,
    length: usize,
}

impl Region {
    /// Maps `length` bytes.
    ///
    /// # Errors
    /// Errors of mmap(2).
    pub fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous map touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), length })
    }

    /// Bytes of the mapping.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the map is `length` bytes long, readable, writable, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }

    /// Discards the contents; the next read returns zeros.
    ///
    /// # Errors
    /// Errors of madvise(2).
    pub fn wipe(&mut self) -> io::Result<()> {
        // SAFETY: exactly our own map; private anonymous pages read as zero afterwards.
        let result = unsafe { libc::madvise(self.start.cast(), self.length, libc::MADV_DONTNEED) };
        check(result.into()).map(drop)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly our own map, and nothing borrows it any more.
        unsafe {
            libc::munmap(self.start.cast(), self.length);
        }
    }
}
