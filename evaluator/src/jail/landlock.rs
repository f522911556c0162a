//! Landlock with zero rules: no path, no TCP port, no abstract socket, no signal to outsiders.
//!
//! Best effort towards newer kernels' features; the probe tests the effect instead of the version
//! ([`super::probe`]).

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};

/// Isolates this process and its future children from files and ports, for good.
///
/// # Errors
/// Errors of the kernel, or a kernel without Landlock.
pub(super) fn restrict(set_no_new_privs: bool) -> Result<String, Error> {
    let abi = ABI::V7;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    let ruleset = landlock::RulesetCreatedAttr::no_new_privs(ruleset, set_no_new_privs);
    let RestrictionStatus { ruleset, landlock, .. } = ruleset.restrict_self()?;
    let version = match landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("ABI {}", effective_abi as i32),
        LandlockStatus::NotEnabled => "switched off".to_owned(),
        LandlockStatus::NotImplemented => "not built in".to_owned(),
    };
    match ruleset {
        RulesetStatus::FullyEnforced => Ok(version),
        RulesetStatus::PartiallyEnforced => Ok(format!("in part, {version}")),
        RulesetStatus::NotEnforced => Err(Error::Absent(version)),
    }
}

/// Landlock that is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The kernel has none, or it is switched off.
    #[error("the kernel has no Landlock: {0}")]
    Absent(String),
    /// The kernel refuses the ruleset.
    #[error("the kernel refuses the ruleset")]
    Ruleset(#[from] RulesetError),
}
