//! Turns the lists of [`super::syscalls`] into seccomp filters.
//!
//! Anything that is not on the list ends the process; nothing is answered with an error except
//! `openat`, which `CPython` tries while it formats a syntax error.

use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

use super::syscalls::{CHILD, Call, REPORT_DESCRIPTOR, Rule, ZYGOTE};

/// Filters of system calls, compiled.
#[derive(Debug, Clone)]
pub struct Filters {
    refuse: BpfProgram,
    zygote: BpfProgram,
    child: BpfProgram,
}

/// A filter that cannot be compiled or installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list does not compile.
    #[error("a system call filter does not compile")]
    Compile(#[from] BackendError),
    /// The kernel refuses the filter.
    #[error("the kernel refuses a system call filter")]
    Install(#[from] seccompiler::Error),
}

impl Filters {
    /// Compiles both stages.
    ///
    /// # Errors
    /// [`Error::Compile`], also on an architecture seccompiler does not know.
    pub fn compile() -> Result<Self, Error> {
        let both: Vec<Call> = ZYGOTE
            .iter()
            .chain(CHILD.iter().filter(|call| call.rule != Rule::ToReport))
            .copied()
            .collect();
        let refused: Vec<Call> =
            CHILD.iter().filter(|call| call.rule == Rule::Refused).copied().collect();
        let refuse = SeccompAction::Errno(u32::from(libc::EACCES.unsigned_abs().to_le_bytes()[0]));
        Ok(Self {
            refuse: compile(&refused, refuse, SeccompAction::Allow)?,
            zygote: compile(&both, SeccompAction::Allow, SeccompAction::KillProcess)?,
            child: compile(CHILD, SeccompAction::Allow, SeccompAction::KillProcess)?,
        })
    }

    /// Stage 1, in the zygote, for good.
    ///
    /// # Errors
    /// [`Error::Install`]
    pub fn harden_zygote(&self) -> Result<(), Error> {
        seccompiler::apply_filter(&self.refuse)?;
        Ok(seccompiler::apply_filter(&self.zygote)?)
    }

    /// Stage 2, in a child, for good. Stage 1 stays on underneath.
    ///
    /// # Errors
    /// [`Error::Install`]
    pub fn lock_child(&self) -> Result<(), Error> {
        Ok(seccompiler::apply_filter(&self.child)?)
    }
}

fn compile(
    calls: &[Call],
    matched: SeccompAction,
    otherwise: SeccompAction,
) -> Result<BpfProgram, Error> {
    let mut rules = std::collections::BTreeMap::new();
    for call in calls {
        rules.insert(call.number, conditions(call.rule)?);
    }
    let filter = SeccompFilter::new(rules, otherwise, matched, ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

fn conditions(rule: Rule) -> Result<Vec<SeccompRule>, BackendError> {
    let not_executable = || masked(2, bits(libc::PROT_EXEC), 0);
    let all = match rule {
        Rule::Always | Rule::Refused => return Ok(Vec::new()),
        Rule::ToReport => vec![masked(0, u64::from(u32::MAX), bits(REPORT_DESCRIPTOR))?],
        Rule::AnonymousMemory => {
            let harmless = bits(libc::MAP_NORESERVE | libc::MAP_STACK);
            let wanted = bits(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            vec![not_executable()?, masked(3, !harmless, wanted)?]
        }
        Rule::NotExecutable => vec![not_executable()?],
        Rule::Fork => {
            let flags = libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
            vec![masked(0, u64::MAX, bits(flags))?]
        }
    };
    Ok(vec![SeccompRule::new(all)?])
}

/// `argument & mask == value`, over 64 bits: the kernel sees whole registers.
fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
}

fn bits(flags: i32) -> u64 {
    u64::from(flags.unsigned_abs())
}
