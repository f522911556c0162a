//! Tries what each layer forbids, in a forked child that may come to harm.
//!
//! Asking the kernel whether a layer is on proves little; a layer counts as on only when the
//! forbidden thing was tried and failed in the expected way.

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

/// Tries one layer.
///
/// # Errors
/// Why the layer does not hold.
pub(super) fn try_layer(jail: &Jail, layer: LayerName) -> Result<&'static str, String> {
    if jail.is_dropped(layer) {
        return Err("dropped for a test".to_owned());
    }
    let held = Ended::Exit(HELD);
    match layer {
        LayerName::BoundingSet => {
            expect(held, "chroot was refused", || refused(chroot(), &[libc::EPERM]))
        }
        LayerName::Uid => expect(held, "becoming root was refused", || {
            refused(kernel::become_user(0), &[libc::EPERM])
        }),
        LayerName::NoNewPrivs => expect(held, "it cannot be taken back", take_back_no_new_privs),
        LayerName::Dumpable => expect(held, "another process could not read its memory", || {
            refused(kernel::read_memory_of_parent(), &[libc::EPERM])
        }),
        LayerName::Landlock => expect(held, "opening / was refused", || {
            refused(std::fs::File::open("/").map(drop), &[libc::EACCES])
        }),
        LayerName::Rlimits => {
            expect(held, "512 MiB and a new descriptor were refused", || try_limits(jail))
        }
        LayerName::Seccomp => try_seccomp(jail),
        LayerName::Timer => expect(Ended::Signal(libc::SIGPROF), "a loop was stopped", spin),
        LayerName::Tsc => expect(
            Ended::Signal(libc::SIGSEGV),
            "reading the time stamp counter was stopped",
            || {
                let set = clock::forbid_counter();
                clock::read_counter();
                if set.is_ok() { THROUGH } else { NOT_TRIED }
            },
        ),
        LayerName::Descriptors => expect(held, "the others are closed", || try_descriptors(jail)),
        LayerName::AuditHook => {
            let denied = Ended::Exit(exit::CHILD_DENIED);
            expect(denied, "an event that no file causes was caught", || {
                audit::arm();
                audit::try_forbidden_event();
                THROUGH
            })
        }
        LayerName::Allocator => {
            let memory = Ended::Exit(exit::CHILD_MEMORY);
            expect(memory, "a failed allocation ended the process", || {
                let Ok(mapped) = jail.mapped() else {
                    return NOT_TRIED;
                };
                if limits::lock_child(mapped).is_err() {
                    return NOT_TRIED;
                }
                allocator::arm();
                allocator::try_too_much();
                THROUGH
            })
        }
    }
}

/// Runs `attempt` in a child and compares how it ended.
fn expect(
    expected: Ended,
    how: &'static str,
    attempt: impl FnOnce() -> i32,
) -> Result<&'static str, String> {
    let ended = in_child(attempt).map_err(|error| format!("it could not be tried: {error}"))?;
    match ended {
        ended if ended == expected => Ok(how),
        Ended::Exit(THROUGH) => Err("the forbidden thing was possible".to_owned()),
        Ended::Exit(NOT_TRIED) => Err("it could not be put on".to_owned()),
        Ended::Exit(status) => Err(format!("the attempt ended with status {status}")),
        Ended::Signal(signal) => Err(format!("the attempt ended with signal {signal}")),
    }
}

fn in_child(attempt: impl FnOnce() -> i32) -> io::Result<Ended> {
    match kernel::fork()? {
        Fork::Parent(pid) => kernel::wait(pid).map(|(ended, _)| ended),
        Fork::Child => {
            super::enter_child();
            kernel::exit_now(attempt())
        }
    }
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

fn try_limits(jail: &Jail) -> i32 {
    let Ok(mapped) = jail.mapped() else {
        return NOT_TRIED;
    };
    if limits::lock_child(mapped).is_err() {
        return NOT_TRIED;
    }
    let too_much = usize::try_from(2 * plue_wire::eval::MAX_MEMORY_BYTES).unwrap_or(usize::MAX);
    if kernel::Region::new(too_much).is_ok() {
        return THROUGH;
    }
    let copied = rustix::io::dup(&jail.null).map(drop).map_err(io::Error::from);
    refused(copied, &[libc::EMFILE])
}

fn try_seccomp(jail: &Jail) -> Result<&'static str, String> {
    let killed = Ended::Signal(libc::SIGSYS);
    expect(killed, "", || {
        drop(kernel::syscall(libc::SYS_socket, [1, 1, 0, 0, 0, 0]));
        THROUGH
    })?;
    expect(killed, "socket and, in a child, getpid were stopped", || {
        if jail.filters.lock_child().is_err() {
            return NOT_TRIED;
        }
        drop(kernel::syscall(libc::SYS_getpid, [0; 6]));
        THROUGH
    })
}

/// Spins until the timer strikes; with a short timer, so that starting stays quick.
fn spin() -> i32 {
    if kernel::cpu_timer(std::time::Duration::from_millis(1)).is_err() {
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
