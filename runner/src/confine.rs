//! What a runner gives up before it starts the steps of a stranger. The walls around it are the
//! engine's; these are the limits that only a process inside can set, and that its steps inherit.
//!
//! Must not go on without one of them.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::{Error, options::Confined, system};

/// Files that a process may have open.
const MAX_FILES: u64 = 4_096;

/// Sets the limits. What is started from here on cannot raise them.
///
/// # Errors
/// [`Error::Setup`].
pub(crate) fn confine(limits: &Confined) -> Result<(), Error> {
    let bounds = [
        // Counted in this user namespace, so that runs do not count for each other.
        (Resource::Nproc, limits.max_processes),
        (Resource::Data, limits.max_memory_bytes),
        (Resource::Nofile, MAX_FILES),
        (Resource::Core, 0),
    ];
    for (resource, bound) in bounds {
        let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
        setrlimit(resource, limit)
            .map_err(|error| Error::Setup { what: "limit itself", source: error.into() })?;
    }
    // The token is in this process: steps may end it, but neither read nor trace it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Error::Setup { what: "hide from its steps", source: error.into() })?;
    // The keys of whoever started the engine's session are not for the steps.
    system::leave_session_keyring();
    Ok(())
}
