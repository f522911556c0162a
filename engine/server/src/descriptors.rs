//! How many connections the file descriptors of the process are good for.
//!
//! Must not take more than a server needs: steps inherit the limit, and some programs close as many
//! descriptors as there could be.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listen::MAX_CONNECTIONS;

/// Descriptors that are not connections: databases, pipes of runners, files.
const OTHERS: u64 = 1_024;
/// What a server raises its limit to at most.
const ENOUGH: u64 = MAX_CONNECTIONS as u64 + OTHERS;
/// Connections for which there is room, however low the limit is.
const FEWEST: usize = 64;

/// Raises the limit of this process as far as it needs to and may; for how many connections there is
/// room then.
#[must_use]
pub fn make_room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    let wanted = raised(now, limit.maximum);
    if wanted > now {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, now, "the limit of open files stays as it is");
            return room_of(now);
        }
    }
    let room = room_of(wanted);
    if room < MAX_CONNECTIONS {
        tracing::warn!(files = wanted, connections = room, "few files may be open at a time");
    }
    room
}

/// The limit to ask for: never lower than it is, never above what is allowed or needed.
fn raised(now: u64, most: Option<u64>) -> u64 {
    now.max(ENOUGH.min(most.unwrap_or(u64::MAX)))
}

/// Connections that leave enough for the rest; of a low limit, half of it.
fn room_of(limit: u64) -> usize {
    let others = OTHERS.min(limit / 2);
    usize::try_from(limit - others).unwrap_or(usize::MAX).clamp(FEWEST, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_to_what_is_needed_and_allowed_and_never_lowered() {
        assert_eq!(raised(1_024, Some(1 << 20)), ENOUGH);
        assert_eq!(raised(1_024, None), ENOUGH);
        assert_eq!(raised(1_024, Some(4_096)), 4_096);
        assert_eq!(raised(1 << 20, Some(1 << 20)), 1 << 20);
        assert_eq!(raised(u64::MAX, None), u64::MAX);
    }

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(room_of(ENOUGH), MAX_CONNECTIONS);
        assert_eq!(room_of(u64::MAX), MAX_CONNECTIONS);
        assert_eq!(room_of(20_000), 20_000 - 1_024);
        assert_eq!(room_of(1_024), 512);
        assert_eq!(room_of(0), FEWEST);
    }

    #[test]
    fn this_process_has_the_room_that_it_says() {
        let room = make_room();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(limit >= room as u64, "{limit} descriptors are no room for {room} connections");
    }
}
