//! The connection limit that the file descriptors of the process allow.
//!
//! Must not raise the limit further than needed: steps inherit it, and some programs close every possible
//! descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listen::MAX_CONNECTIONS;

/// Descriptors for other uses: databases, pipes of runners, files.
const OTHERS: u64 = 1_024;
/// Descriptor limit that the server asks for.
const ENOUGH: u64 = MAX_CONNECTIONS as u64 + OTHERS;
/// Connection limit under the lowest descriptor limit.
const FEWEST: usize = 64;

/// Raises the descriptor limit of this process as far as needed and allowed; returns the connection limit.
#[must_use]
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    let wanted = raised(now, limit.maximum);
    if wanted > now {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, now, "failed to raise the limit of open files; continuing with the current one");
            return room_of(now);
        }
    }
    let room = room_of(wanted);
    if room < MAX_CONNECTIONS {
        tracing::warn!(
            files = wanted,
            connections = room,
            "the limit of open files is low; fewer connections are accepted"
        );
    }
    room
}

/// The limit to request: at least the current one, at most the allowed and needed one.
fn raised(now: u64, most: Option<u64>) -> u64 {
    now.max(ENOUGH.min(most.unwrap_or(u64::MAX)))
}

/// The connections under a limit after [`OTHERS`], or half of a low limit.
fn room_of(limit: u64) -> usize {
    let others = OTHERS.min(limit / 2);
    usize::try_from(limit - others).unwrap_or(usize::MAX).clamp(FEWEST, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_raised_as_needed_and_allowed() {
        assert_eq!(raised(1_024, Some(1 << 20)), ENOUGH);
        assert_eq!(raised(1_024, None), ENOUGH);
        assert_eq!(raised(1_024, Some(4_096)), 4_096);
        assert_eq!(raised(1 << 20, Some(1 << 20)), 1 << 20);
        assert_eq!(raised(u64::MAX, None), u64::MAX);
    }

    #[test]
    fn connections_leave_descriptors_for_other_uses() {
        assert_eq!(room_of(ENOUGH), MAX_CONNECTIONS);
        assert_eq!(room_of(u64::MAX), MAX_CONNECTIONS);
        assert_eq!(room_of(20_000), 20_000 - 1_024);
        assert_eq!(room_of(1_024), 512);
        assert_eq!(room_of(0), FEWEST);
    }

    #[test]
    fn this_process_has_the_reported_limit() {
        let room = raise_limit();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(limit >= room as u64, "{limit} descriptors are no room for {room} connections");
    }
}
