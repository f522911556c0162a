//! A Landlock domain of the attendant and its tools: they read no environment and no memory of processes
//! outside of it, such as the other steps of the run, which have secrets of their own.
//!
//! Landlock lets a process inspect those of its own domain only, whatever a domain restricts. Must not
//! restrict anything that a step may do.

use std::io;

use landlock::{
    AccessFs, CompatLevel, Compatible as _, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetError, RulesetStatus,
};

/// Puts this thread, and what it starts, into a domain of its own. `false`: there is none, because the kernel
/// has no Landlock, or because the runner is not isolated: setuid programs would lose their meaning.
///
/// # Errors
/// The kernel refuses the ruleset.
pub(super) fn enter() -> io::Result<bool> {
    if !rustix::thread::no_new_privs()? {
        return Ok(false);
    }
    restrict().map_err(io::Error::other)
}

fn restrict() -> Result<bool, RulesetError> {
    // Nothing of a step makes block devices, so that the ruleset takes nothing away.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::MakeBlock)?
        .create()?;
    let RestrictionStatus { ruleset, .. } = ruleset.restrict_self()?;
    Ok(ruleset == RulesetStatus::FullyEnforced)
}
