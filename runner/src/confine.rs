//! The restrictions that a sandboxed runner puts on itself and that its steps inherit: the parts of
//! the sandbox that only a process inside can set.
//!
//! Must not continue without one of them; restrictions that the kernel lacks are reported, see
//! [`Gap`].

mod filter;
mod sockets;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    Error,
    options::{Confined, Limits},
    system,
};

/// Files that a process of an untrusted run may have open.
const MAX_FILES: u64 = 4_096;

/// A restriction that this kernel does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Steps that share the machine's network reach the abstract Unix sockets of its programs.
    AbstractSockets,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AbstractSockets => f.write_str(
                "abstract Unix sockets of this machine are open to steps with a network: the kernel has \
                 no Landlock of ABI 6 (Linux 6.12)",
            ),
        }
    }
}

/// Sets the restrictions. Later child processes cannot lift them.
///
/// # Errors
/// [`Error::Setup`] if a restriction fails.
pub(crate) fn confine(confined: &Confined) -> Result<Vec<Gap>, Error> {
    let setup = |what| move |source| Error::Setup { what, source };
    if let Some(limits) = &confined.limits {
        limit(limits)?;
    }
    set(Resource::Core, 0)?;
    // Keys in the engine's session keyring are not for the steps.
    system::leave_session_keyring();
    let mut gaps = Vec::new();
    if !sockets::close().map_err(setup("close abstract sockets"))? {
        gaps.push(Gap::AbstractSockets);
    }
    // Last: it also refuses calls that the lines above make.
    filter::install().map_err(setup("filter system calls"))?;
    Ok(gaps)
}

fn limit(limits: &Limits) -> Result<(), Error> {
    // Counted in this user namespace, so that runs do not count for each other.
    set(Resource::Nproc, limits.max_processes)?;
    set(Resource::Data, limits.max_memory_bytes)?;
    set(Resource::Nofile, MAX_FILES)
}

fn set(resource: Resource, bound: u64) -> Result<(), Error> {
    let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
    setrlimit(resource, limit)
        .map_err(|error| Error::Setup { what: "limit itself", source: error.into() })
}
