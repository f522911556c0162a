//! The system calls that sandboxed steps do without: administration of the machine, and the parts
//! of the kernel with the most vulnerabilities. Close to Docker's default profile, except for the
//! needs of debuggers and sanitizers (ptrace, address space without randomisation).
//!
//! A deny list: a build may use any harmless call.

use std::{collections::BTreeMap, env::consts::ARCH, io};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter, sock_filter,
};

/// Refused with EPERM, as to a process without rights.
const FORBIDDEN: &[libc::c_long] = &[
    // Namespaces do not isolate keys of the kernel.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Programs in the kernel, and its measuring.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_lookup_dcookie,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    QUOTACTL_FD,
    libc::SYS_nfsservctl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    KEXEC_FILE_LOAD,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
];
/// Missing (ENOSYS): programs then use older calls.
const ABSENT: &[libc::c_long] = &[
    // Its flags lie behind a pointer, where no filter sees them; libraries fall back to clone(2).
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];
// Newer than some versions of libc; the same on every architecture.
const QUOTACTL_FD: libc::c_long = 443;
const OPEN_TREE_ATTR: libc::c_long = 467;
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: libc::c_long = 320;
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: libc::c_long = 294;

/// The flags of clone(2) that make a namespace.
const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// ioctl(2): input into a terminal, and requests of Linux consoles.
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// Families of sockets that programs need. Namespaces do not isolate those of virtual machines
/// (vsock), of cars and of radios.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// personality(2): the usual one with or without the flags that Docker lets pass, without randomised
/// addresses (debuggers, `ThreadSanitizer`), and the question which it is.
const PERSONALITIES: [u64; 6] = [0, 0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs the filters for this process and all that it starts, for good.
///
/// # Errors
/// An architecture without a filter, or a kernel without them.
pub(super) fn install() -> io::Result<()> {
    for program in programs().map_err(io::Error::other)? {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// One filter for each answer. Of several, the kernel takes the strictest.
fn programs() -> Result<[BpfProgram; 3], BackendError> {
    let mut forbidden = always(FORBIDDEN);
    let of_clone = NEW_NAMESPACES.iter().map(|flag| any_of(0, u64::from(flag.unsigned_abs())));
    forbidden.insert(libc::SYS_clone, of_clone.collect::<Result<_, _>>()?);
    let of_ioctl = TYPING.iter().map(|request| equal(1, *request));
    forbidden.insert(libc::SYS_ioctl, of_ioctl.collect::<Result<_, _>>()?);
    forbidden.insert(libc::SYS_personality, vec![none_of(0, PERSONALITIES)?]);
    let families = FAMILIES.map(|family| u64::from(family.unsigned_abs()));
    let sockets = [libc::SYS_socket, libc::SYS_socketpair]
        .into_iter()
        .map(|call| Ok((call, vec![none_of(0, families)?])))
        .collect::<Result<Rules, BackendError>>()?;
    Ok([
        compile(forbidden, libc::EPERM)?,
        compile(always(ABSENT), libc::ENOSYS)?,
        compile(sockets, libc::EAFNOSUPPORT)?,
    ])
}

fn always(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// Calls of these rules fail with the error; all others pass.
fn compile(rules: Rules, error: i32) -> Result<BpfProgram, BackendError> {
    let refused = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(without_second_numbers(program))
}

/// The architecture x86-64 has every call under a second number (x32), which the rules do not name.
fn without_second_numbers(program: BpfProgram) -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const FIRST_SECOND_NUMBER: u32 = 0x4000_0000;
    if !cfg!(target_arch = "x86_64") {
        return program;
    }
    let line = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let absent = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    let mut all = vec![
        line(LOAD_WORD, 0, 0, 0),
        line(JUMP_IF_AT_LEAST, 0, 1, FIRST_SECOND_NUMBER),
        line(RETURN, 0, 0, absent),
    ];
    all.extend(program);
    all
}

/// A condition on the lower half of an argument, the part that the kernel reads for these calls.
fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn equal(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, value)?])
}

fn any_of(argument: u8, flag: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(argument, SeccompCmpOp::MaskedEq(flag), flag)?])
}

fn none_of<const N: usize>(argument: u8, values: [u64; N]) -> Result<SeccompRule, BackendError> {
    let others = values.into_iter().map(|value| condition(argument, SeccompCmpOp::Ne, value));
    SeccompRule::new(others.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compile_and_list_no_call_twice() {
        let programs = programs().unwrap();
        assert!(programs.iter().all(|program| program.len() < 4_096));
        let mut all: Vec<_> = FORBIDDEN.iter().chain(ABSENT).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), FORBIDDEN.len() + ABSENT.len());
    }
}
