//! Tries what each layer forbids, in a forked child that may come to harm.
//!
//! Asking the kernel whether a layer is on proves little; a layer counts as on only when the
//! forbidden thing was tried and failed in the expected way. The attempts run side by side: one after
//! the other they would be a third of the time that an evaluator takes to start.

use std::io;

use super::{Jail, LayerName, allocator, audit, clock, descriptors, limits};
use crate::exit;
use crate::kernel::{self, Ended, Fork};

/// Exit status of a probe that was stopped as it should be.
const HELD: i32 = 0;
/// Exit status of a probe that got through.
const THROUGH: i32 = 1;
/// Exit status of a probe that could not be set up.
const NOT_TRIED: i32 = 2;
/// CPU microseconds a spinning probe gets before it counts as not stopped.
const SPIN_US: u64 = 200_000;

/// An attempt that is under way in a forked child.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The child, and how it must end; or why there is none.
    child: Result<(i32, Ended), String>,
    how: &'static str,
}

/// The layers that one child can try: what they forbid fails with an error, and the child lives on.
/// In this order, as the last two leave it little to try anything with.
pub(super) const REFUSING: [LayerName; 7] = [
    LayerName::BoundingSet,
    LayerName::Uid,
    LayerName::NoNewPrivs,
    LayerName::Dumpable,
    LayerName::Landlock,
    LayerName::Descriptors,
    LayerName::Rlimits,
];

/// The layers that end a process at a violation: a child each.
pub(super) const ENDING: [LayerName; 5] = [
    LayerName::Timer,
    LayerName::Seccomp,
    LayerName::Tsc,
    LayerName::AuditHook,
    LayerName::Allocator,
];

/// Results of the layers of [`REFUSING`], in their order.
#[derive(Debug)]
pub(super) struct Refusals {
    child: Result<i32, String>,
}

/// Starts to probe the layers of [`REFUSING`], in parallel with the caller. To be called when all
/// of them are on and seccomp is not: it would end the child at the first attempt.
pub(super) fn start_refusing(jail: &Jail) -> Refusals {
    let child = in_child(|| {
        // Read through a descriptor that is closed later.
        let mapped = jail.mapped();
        let mut through = 0;
        for (index, layer) in REFUSING.into_iter().enumerate() {
            if !jail.is_dropped(layer)
                && attempt_refused(jail, layer, mapped.as_ref().ok().copied()) != HELD
            {
                through |= 1 << index;
            }
        }
        through
    });
    Refusals { child: child.map_err(|error| format!("it could not be tried: {error}")) }
}

impl Refusals {
    /// Waits for the child.
    pub(super) fn verdicts(self) -> [Result<&'static str, String>; REFUSING.len()] {
        let ended = self.child.and_then(|pid| {
            kernel::wait(pid).map(|(ended, _)| ended).map_err(|error| error.to_string())
        });
        std::array::from_fn(|index| match &ended {
            Ok(Ended::Exit(through)) if through & (1 << index) == 0 => {
                Ok(REFUSING.get(index).map_or("", |layer| how_refused(*layer)))
            }
            Ok(Ended::Exit(_)) => {
                Err("the forbidden thing was possible, or could not be tried".to_owned())
            }
            Ok(Ended::Signal(signal)) => Err(format!("the attempt ended with signal {signal}")),
            Err(reason) => Err(reason.clone()),
        })
    }
}

fn attempt_refused(jail: &Jail, layer: LayerName, mapped: Option<u64>) -> i32 {
    match layer {
        LayerName::BoundingSet => refused(chroot(), &[libc::EPERM]),
        LayerName::Uid => refused(kernel::become_user(0), &[libc::EPERM]),
        LayerName::NoNewPrivs => take_back_no_new_privs(),
        LayerName::Dumpable => refused(kernel::read_memory_of_parent(), &[libc::EPERM]),
        LayerName::Landlock => refused(std::fs::File::open("/").map(drop), &[libc::EACCES]),
        LayerName::Descriptors => try_descriptors(jail),
        LayerName::Rlimits => mapped.map_or(NOT_TRIED, try_limits),
        LayerName::Timer
        | LayerName::Seccomp
        | LayerName::Tsc
        | LayerName::AuditHook
        | LayerName::Allocator => NOT_TRIED,
    }
}

fn how_refused(layer: LayerName) -> &'static str {
    match layer {
        LayerName::BoundingSet => "chroot was refused",
        LayerName::Uid => "becoming root was refused",
        LayerName::NoNewPrivs => "it cannot be taken back",
        LayerName::Dumpable => "another process could not read its memory",
        LayerName::Landlock => "opening / was refused",
        LayerName::Descriptors => "the others are closed",
        LayerName::Rlimits => "512 MiB and a new descriptor were refused",
        LayerName::Timer
        | LayerName::Seccomp
        | LayerName::Tsc
        | LayerName::AuditHook
        | LayerName::Allocator => "",
    }
}

/// Starts to probe a layer of [`ENDING`]; seccomp is on by now. All of its attempts must end as
/// expected, and the last one has the result.
pub(super) fn start_ending(jail: &Jail, layer: LayerName) -> Vec<Attempt> {
    match layer {
        LayerName::Timer => {
            vec![start(Ended::Signal(libc::SIGPROF), "a loop was stopped", spin)]
        }
        LayerName::Seccomp => start_seccomp(jail),
        LayerName::Tsc => {
            let how = "reading the time stamp counter was stopped";
            vec![start(Ended::Signal(libc::SIGSEGV), how, || {
                let set = clock::forbid_counter();
                clock::read_counter();
                if set.is_ok() { THROUGH } else { NOT_TRIED }
            })]
        }
        LayerName::AuditHook => {
            let how = "an event that no file causes was caught";
            vec![start(Ended::Exit(exit::CHILD_DENIED), how, || {
                audit::arm();
                audit::try_forbidden_event();
                THROUGH
            })]
        }
        LayerName::Allocator => {
            let how = "a failed allocation ended the process";
            vec![start(Ended::Exit(exit::CHILD_MEMORY), how, || try_allocator(jail))]
        }
        LayerName::BoundingSet
        | LayerName::Uid
        | LayerName::NoNewPrivs
        | LayerName::Dumpable
        | LayerName::Landlock
        | LayerName::Descriptors
        | LayerName::Rlimits => Vec::new(),
    }
}

/// Runs `attempt` in a child, and does not wait for it.
fn start(expected: Ended, how: &'static str, attempt: impl FnOnce() -> i32) -> Attempt {
    let child = in_child(attempt).map(|pid| (pid, expected));
    Attempt { child: child.map_err(|error| format!("it could not be tried: {error}")), how }
}

impl Attempt {
    /// Waits for the child and compares how it ended.
    ///
    /// # Errors
    /// Why the layer does not hold.
    pub(super) fn verdict(self) -> Result<&'static str, String> {
        let (pid, expected) = self.child?;
        let (ended, _) = kernel::wait(pid).map_err(|error| error.to_string())?;
        match ended {
            ended if ended == expected => Ok(self.how),
            Ended::Exit(THROUGH) => Err("the forbidden thing was possible".to_owned()),
            Ended::Exit(NOT_TRIED) => Err("it could not be put on".to_owned()),
            Ended::Exit(status) => Err(format!("the attempt ended with status {status}")),
            Ended::Signal(signal) => Err(format!("the attempt ended with signal {signal}")),
        }
    }
}

fn in_child(attempt: impl FnOnce() -> i32) -> io::Result<i32> {
    match kernel::fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            super::enter_child();
            kernel::exit_now(attempt())
        }
    }
}

fn try_allocator(jail: &Jail) -> i32 {
    let Ok(mapped) = jail.mapped() else {
        return NOT_TRIED;
    };
    if limits::lock_child(mapped).is_err() {
        return NOT_TRIED;
    }
    allocator::arm();
    allocator::try_too_much();
    THROUGH
}

fn refused(result: io::Result<()>, expected: &[i32]) -> i32 {
    match result {
        Ok(()) => THROUGH,
        Err(error) if error.raw_os_error().is_some_and(|code| expected.contains(&code)) => HELD,
        Err(_) => THROUGH,
    }
}

fn chroot() -> io::Result<()> {
    rustix::process::chroot("/").map_err(io::Error::from)
}

fn take_back_no_new_privs() -> i32 {
    let taken = kernel::prctl(libc::PR_SET_NO_NEW_PRIVS, 0, 0);
    let still = kernel::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0);
    if taken.is_err() && still.is_ok_and(|value| value == 1) { HELD } else { THROUGH }
}

fn try_limits(mapped: u64) -> i32 {
    if limits::lock_child(mapped).is_err() {
        return NOT_TRIED;
    }
    let too_much = usize::try_from(2 * plue_wire::eval::MAX_MEMORY_BYTES).unwrap_or(usize::MAX);
    if kernel::Region::new(too_much).is_ok() {
        return THROUGH;
    }
    let copied = rustix::io::dup(rustix::stdio::stdin()).map(drop).map_err(io::Error::from);
    refused(copied, &[libc::EMFILE])
}

fn start_seccomp(jail: &Jail) -> Vec<Attempt> {
    let killed = Ended::Signal(libc::SIGSYS);
    let how = "socket and, in a child, getpid were stopped";
    let zygote = start(killed, how, || {
        drop(kernel::syscall(libc::SYS_socket, [1, 1, 0, 0, 0, 0]));
        THROUGH
    });
    let child = start(killed, how, || {
        if jail.filters.lock_child().is_err() {
            return NOT_TRIED;
        }
        drop(kernel::syscall(libc::SYS_getpid, [0; 6]));
        THROUGH
    });
    vec![zygote, child]
}

/// Spins until the timer strikes at the next tick; a short timer, so that starting stays quick.
fn spin() -> i32 {
    if kernel::cpu_timer(std::time::Duration::from_micros(1)).is_err() {
        return NOT_TRIED;
    }
    let start = kernel::cpu_us();
    while kernel::cpu_us().saturating_sub(start) < SPIN_US {}
    THROUGH
}

fn try_descriptors(jail: &Jail) -> i32 {
    let null = std::os::fd::AsFd::as_fd(&jail.null);
    if descriptors::reduce(null, null).is_err() {
        return NOT_TRIED;
    }
    let open = |descriptor: &i32| kernel::is_open(*descriptor);
    let count = (0..256).filter(open).count();
    // Three times /dev/null and the report; standard input must be at its end.
    let ended = kernel::read(0, &mut [0]).is_ok_and(|count| count == 0);
    if count == 4 && ended { HELD } else { THROUGH }
}
