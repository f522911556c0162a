//! Every system call number is tried in a locked child and compared with the committed list.

use plue_evaluator::jail::seccomp::Filters;
use plue_evaluator::jail::syscalls::{CHILD, REPORT_DESCRIPTOR, Rule};
use plue_evaluator::kernel::{self, Ended, Fork};

/// Numbers to try; the kernel's own list ends before.
const NUMBERS: std::ops::RangeInclusive<i64> = 0..=470;
/// x86-64 only: the kernel lets `uretprobe` and `uprobe` past any filter; outside a trampoline of
/// its own they do nothing but end the caller.
const EXEMPT: &[i64] = if cfg!(target_arch = "x86_64") { &[335, 336] } else { &[] };

const RETURNED: i32 = 40;
const REFUSED: i32 = 41;
const NOT_LOCKED: i32 = 42;

/// Makes one call in a child that carries both filters.
#[expect(clippy::unwrap_used, reason = "the function that the tests share is not seen as a test")]
fn try_call(filters: &Filters, number: i64, arguments: [u64; 6]) -> Ended {
    match kernel::fork().unwrap() {
        Fork::Parent(pid) => kernel::wait(pid).unwrap().0,
        Fork::Child => {
            if filters.harden_zygote().is_err() || filters.lock_child().is_err() {
                kernel::exit_now(NOT_LOCKED);
            }
            let refused = kernel::syscall(number, arguments)
                .is_err_and(|error| error.raw_os_error() == Some(libc::EACCES));
            kernel::exit_now(if refused { REFUSED } else { RETURNED })
        }
    }
}

fn is_stopped(ended: Ended) -> bool {
    assert_ne!(ended, Ended::Exit(NOT_LOCKED));
    ended == Ended::Signal(libc::SIGSYS)
}

#[test]
fn a_child_may_make_the_calls_on_the_list_and_no_other() {
    let filters = Filters::compile().unwrap();
    let mut passed = Vec::new();
    for number in NUMBERS {
        if !is_stopped(try_call(&filters, number, [0; 6])) {
            passed.push(number);
        }
    }
    // With all arguments zero, write uses the wrong descriptor and mmap the wrong memory.
    let mut expected: Vec<i64> = CHILD
        .iter()
        .filter(|call| !matches!(call.rule, Rule::ToReport | Rule::AnonymousMemory))
        .map(|call| call.number)
        .chain(EXEMPT.iter().copied())
        .collect();
    expected.sort_unstable();
    assert_eq!(passed, expected);
}

#[test]
fn the_list_has_twelve_calls_and_one_refusal() {
    let refused = CHILD.iter().filter(|call| call.rule == Rule::Refused).count();
    assert_eq!((CHILD.len() - refused, refused), (12, 1));
}

#[test]
fn opening_a_file_is_refused_and_not_fatal() {
    let filters = Filters::compile().unwrap();
    let ended = try_call(&filters, libc::SYS_openat, [0; 6]);
    assert_eq!(ended, Ended::Exit(REFUSED));
}

#[test]
fn writing_goes_to_the_report_only() {
    let filters = Filters::compile().unwrap();
    let report = u64::try_from(REPORT_DESCRIPTOR).unwrap();
    assert!(!is_stopped(try_call(&filters, libc::SYS_write, [report, 0, 0, 0, 0, 0])));
    for other in [0, 1, 2, 3, 5, 100, u64::MAX] {
        assert!(is_stopped(try_call(&filters, libc::SYS_write, [other, 0, 0, 0, 0, 0])), "{other}");
    }
}

#[test]
fn memory_is_private_anonymous_and_never_executable() {
    let filters = Filters::compile().unwrap();
    let bits = |flags: i32| u64::try_from(flags).unwrap();
    let map = |protection: i32, flags: i32| {
        let arguments = [0, 4096, bits(protection), bits(flags), u64::MAX, 0];
        !is_stopped(try_call(&filters, libc::SYS_mmap, arguments))
    };
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let write = libc::PROT_READ | libc::PROT_WRITE;
    assert!(map(write, anonymous));
    assert!(map(libc::PROT_NONE, anonymous | libc::MAP_NORESERVE));
    assert!(!map(write | libc::PROT_EXEC, anonymous));
    assert!(!map(write, libc::MAP_SHARED | libc::MAP_ANONYMOUS));
    assert!(!map(write, libc::MAP_PRIVATE));
    assert!(!map(write, anonymous | libc::MAP_FIXED));
    assert!(!map(write, anonymous | libc::MAP_LOCKED));
    assert!(!map(write, anonymous | libc::MAP_HUGETLB));
    let protect = |protection: i32| {
        let arguments = [0, 0, bits(protection), 0, 0, 0];
        !is_stopped(try_call(&filters, libc::SYS_mprotect, arguments))
    };
    assert!(protect(libc::PROT_READ));
    assert!(!protect(libc::PROT_READ | libc::PROT_EXEC));
}

#[test]
fn the_other_table_of_x86_is_closed_as_well() {
    if cfg!(target_arch = "x86_64") {
        let filters = Filters::compile().unwrap();
        // The x32 variants of calls that are on the list.
        for call in CHILD {
            let number = call.number | 0x4000_0000;
            assert!(is_stopped(try_call(&filters, number, [0; 6])), "{}", call.name);
        }
    }
}
