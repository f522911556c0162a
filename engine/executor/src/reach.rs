//! Reaching addresses that others chose: `call` steps, and outgoing webhooks.
//!
//! One guard for all of it. A name is looked up here, every address that it has is judged, and the
//! connection goes to what was judged and nowhere else, so that a name that changes its address in
//! between gains nothing. Must not follow a redirect: whoever does judges the next address anew.
//!
//! Reading order: [`target`] (what an address may look like), [`guard`] (where it may lead), [`exchange`].

use plue_plan::{Code, Diagnostic};

pub mod exchange;
pub mod guard;
pub mod target;

pub use exchange::{Answered, Request, post, send};
pub use guard::{BadEntry, Guard};
pub use target::Target;

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unreached {
    /// It was not tried: the author or the operator can mend it.
    #[error("{}: {}", .0.code.as_str(), .0.message)]
    Refused(Box<Diagnostic>),
    /// The other side, or the way there.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

// === impl Unreached ===

impl Unreached {
    fn refused(code: Code, message: String) -> Self {
        Self::Refused(Box::new(Diagnostic::error(code, message)))
    }
}

/// Whether something may be sent to an address, as far as can be told now: a name that cannot be
/// looked up at the moment is no reason to refuse it.
///
/// # Errors
/// [`Unreached::Refused`] only.
pub async fn judge(address: &str, guard: &Guard) -> Result<Target, Unreached> {
    let target = Target::parse(address)?;
    match target.addresses(guard).await {
        Err(refused @ Unreached::Refused(_)) => Err(refused),
        Ok(_) | Err(Unreached::Failed(_) | Unreached::TimedOut) => Ok(target),
    }
}

/// An address and all addresses of its host, which were judged: for programs that connect by themselves
/// and can be held to them.
///
/// # Errors
/// The guard refuses one; the name cannot be looked up.
pub async fn resolve(
    address: &str,
    guard: &Guard,
) -> Result<(Target, Vec<std::net::IpAddr>), Unreached> {
    let target = Target::parse(address)?;
    let found = target.addresses(guard).await?;
    Ok((target, found.into_iter().map(|at| at.ip()).collect()))
}
