//! Abstract Unix sockets: they belong to the network namespace and have no file, so that steps with
//! the machine's network would reach those of its programs. Landlock denies access to them.
//!
//! Must not restrict anything else: bubblewrap restricts files.

use std::io;

use landlock::{
    CompatLevel, Compatible as _, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetError,
    RulesetStatus, Scope,
};

/// Closes the sockets of other programs to this process and those it starts. `false`: this kernel
/// cannot.
///
/// # Errors
/// Landlock refuses the ruleset.
pub(super) fn close() -> io::Result<bool> {
    restrict().map_err(io::Error::other)
}

fn restrict() -> Result<bool, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::AbstractUnixSocket)?
        .create()?;
    let RestrictionStatus { ruleset, .. } = ruleset.restrict_self()?;
    Ok(ruleset == RulesetStatus::FullyEnforced)
}
