//! Requests to addresses from plans and users: `call` steps, outgoing webhooks, remote MCP servers.
//!
//! One guard for all of them. Names are resolved here, every address is checked, and the connection goes to a
//! checked address only, so that a name cannot change its address in between. Must not follow redirects: the
//! caller checks each next address.
//!
//! Reading order: [`target`] (syntax of addresses), [`guard`] (allowed networks), [`exchange`].

use plue_plan::{Code, Diagnostic};

pub mod exchange;
pub mod guard;
pub mod target;

pub use exchange::{Answered, Request, post, send};
pub use guard::{BadEntry, Guard};
pub use target::Target;

/// The reason that a request has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unreached {
    /// Not sent: the author or the operator can fix it.
    #[error("{}: {}", .0.code.as_str(), .0.message)]
    Refused(Box<Diagnostic>),
    /// A failure of the peer or of the network.
    #[error("{0}")]
    Failed(String),
    /// The timeout of the request.
    #[error("no answer in time")]
    TimedOut,
}

// === impl Unreached ===

impl Unreached {
    fn refused(code: Code, message: String) -> Self {
        Self::Refused(Box::new(Diagnostic::error(code, message)))
    }
}

/// Checks whether an address may be reached. A name that cannot be resolved now is not refused.
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

/// An address with all checked IP addresses of its host, for programs that make their own connections and
/// can be pinned to them.
///
/// # Errors
/// The guard refuses one; the name cannot be resolved.
pub async fn resolve(
    address: &str,
    guard: &Guard,
) -> Result<(Target, Vec<std::net::IpAddr>), Unreached> {
    let target = Target::parse(address)?;
    let found = target.addresses(guard).await?;
    Ok((target, found.into_iter().map(|at| at.ip()).collect()))
}
