//! The system calls that each side may make: the committed lists.
//!
//! A test tries every number in a forked child and compares with [`CHILD`]. Adding a line here
//! widens the jail; the commit must explain why the child cannot work without it.

/// The descriptor a child writes its report to.
pub const REPORT_DESCRIPTOR: i32 = 4;

/// Under which condition a call passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Allowed with any arguments.
    Always,
    /// write(2) to [`REPORT_DESCRIPTOR`].
    ToReport,
    /// mmap(2) of private anonymous memory that is not executable.
    AnonymousMemory,
    /// mprotect(2) without `PROT_EXEC`.
    NotExecutable,
    /// Never runs; answers EACCES. `CPython` opens a file's name to quote a line of it.
    Refused,
    /// clone(2) exactly as fork(3) makes it.
    Fork,
}

/// One line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Name of the call.
    pub name: &'static str,
    /// The call's number on this architecture.
    pub number: i64,
    /// Condition on its arguments.
    pub rule: Rule,
}

const fn call(name: &'static str, number: i64, rule: Rule) -> Call {
    Call { name, number, rule }
}

/// System calls of a locked child: manage its own memory, write its report, end.
pub const CHILD: &[Call] = &[
    call("munmap", libc::SYS_munmap, Rule::Always),
    call("mremap", libc::SYS_mremap, Rule::Always),
    call("brk", libc::SYS_brk, Rule::Always),
    call("madvise", libc::SYS_madvise, Rule::Always),
    call("futex", libc::SYS_futex, Rule::Always),
    call("sched_yield", libc::SYS_sched_yield, Rule::Always),
    call("rt_sigreturn", libc::SYS_rt_sigreturn, Rule::Always),
    call("exit", libc::SYS_exit, Rule::Always),
    call("exit_group", libc::SYS_exit_group, Rule::Always),
    call("write", libc::SYS_write, Rule::ToReport),
    call("mmap", libc::SYS_mmap, Rule::AnonymousMemory),
    call("mprotect", libc::SYS_mprotect, Rule::NotExecutable),
    call("openat", libc::SYS_openat, Rule::Refused),
];

/// Further system calls of the hardened zygote: communicate, fork, watch, and lock its children.
pub const ZYGOTE: &[Call] = &[
    call("read", libc::SYS_read, Rule::Always),
    call("pread64", libc::SYS_pread64, Rule::Always),
    call("write", libc::SYS_write, Rule::Always),
    call("close", libc::SYS_close, Rule::Always),
    call("close_range", libc::SYS_close_range, Rule::Always),
    call("dup", libc::SYS_dup, Rule::Always),
    call("dup3", libc::SYS_dup3, Rule::Always),
    call("fcntl", libc::SYS_fcntl, Rule::Always),
    call("pipe2", libc::SYS_pipe2, Rule::Always),
    call("ppoll", libc::SYS_ppoll, Rule::Always),
    #[cfg(target_arch = "x86_64")]
    call("poll", libc::SYS_poll, Rule::Always),
    #[cfg(target_arch = "x86_64")]
    call("dup2", libc::SYS_dup2, Rule::Always),
    call("clone", libc::SYS_clone, Rule::Fork),
    call("set_robust_list", libc::SYS_set_robust_list, Rule::Always),
    call("wait4", libc::SYS_wait4, Rule::Always),
    call("kill", libc::SYS_kill, Rule::Always),
    call("getpid", libc::SYS_getpid, Rule::Always),
    call("getppid", libc::SYS_getppid, Rule::Always),
    call("gettid", libc::SYS_gettid, Rule::Always),
    call("prctl", libc::SYS_prctl, Rule::Always),
    call("prlimit64", libc::SYS_prlimit64, Rule::Always),
    #[cfg(target_arch = "x86_64")]
    call("setrlimit", libc::SYS_setrlimit, Rule::Always),
    call("timer_create", libc::SYS_timer_create, Rule::Always),
    call("timer_settime", libc::SYS_timer_settime, Rule::Always),
    call("seccomp", libc::SYS_seccomp, Rule::Always),
    call("clock_gettime", libc::SYS_clock_gettime, Rule::Always),
    call("rt_sigaction", libc::SYS_rt_sigaction, Rule::Always),
    call("rt_sigprocmask", libc::SYS_rt_sigprocmask, Rule::Always),
    call("restart_syscall", libc::SYS_restart_syscall, Rule::Always),
];
