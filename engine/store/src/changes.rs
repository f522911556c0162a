//! Wake-ups: a number that grows after each commit. They only make things prompt: a waiter must
//! look at the rows again, and must poll as well if other processes write.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use plue_plan::RunId;
use tokio::sync::watch;

/// Groups of runs that wake together. A power of two, at most 64.
const SHARDS: u64 = 64;

/// A set of groups, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shards(pub(crate) u64);

#[derive(Debug, Clone)]
pub(crate) struct Changes(Arc<Senders>);

#[derive(Debug)]
struct Senders {
    any: watch::Sender<u64>,
    shards: Vec<watch::Sender<u64>>,
}

// === impl Shards ===

impl Shards {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) fn of(run: &RunId) -> Self {
        let mut hasher = DefaultHasher::new();
        run.as_str().hash(&mut hasher);
        Self(1 << (hasher.finish() % SHARDS))
    }

    pub(crate) fn of_all<'a>(runs: impl IntoIterator<Item = &'a RunId>) -> Self {
        runs.into_iter().fold(Self::NONE, |all, run| all.with(Self::of(run)))
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// === impl Changes ===

impl Changes {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| watch::Sender::new(0)).collect();
        Self(Arc::new(Senders { any: watch::Sender::new(0), shards }))
    }

    pub(crate) fn any(&self) -> watch::Receiver<u64> {
        self.0.any.subscribe()
    }

    pub(crate) fn of(&self, run: &RunId) -> watch::Receiver<u64> {
        let at = usize::try_from(Shards::of(run).0.trailing_zeros()).unwrap_or(0);
        self.0.shards[at].subscribe()
    }

    pub(crate) fn wake(&self, shards: Shards) {
        if shards == Shards::NONE {
            return;
        }
        for (bit, shard) in self.0.shards.iter().enumerate() {
            if shards.0 >> bit & 1 == 1 {
                shard.send_modify(|count| *count += 1);
            }
        }
        self.0.any.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_reaches_the_run_and_those_who_watch_all() {
        let changes = Changes::new();
        let run = RunId::new("r");
        let other = (0..).map(|n| RunId::new(format!("o{n}")));
        let other = other.into_iter().find(|id| Shards::of(id) != Shards::of(&run)).unwrap();
        let (mine, theirs, any) = (changes.of(&run), changes.of(&other), changes.any());
        changes.wake(Shards::of(&run));
        let seen = [&mine, &theirs, &any].map(|one| one.has_changed().unwrap());
        assert_eq!(seen, [true, false, true]);
    }

    #[test]
    fn no_shard_wakes_none_and_all_wake_all() {
        let changes = Changes::new();
        let (mine, any) = (changes.of(&RunId::new("r")), changes.any());
        changes.wake(Shards::NONE);
        assert!(!mine.has_changed().unwrap() && !any.has_changed().unwrap());
        changes.wake(Shards::ALL);
        assert!(mine.has_changed().unwrap() && any.has_changed().unwrap());
    }

    #[test]
    fn a_set_of_runs_is_the_union_of_their_groups() {
        let runs: Vec<RunId> = (0..500).map(|n| RunId::new(n.to_string())).collect();
        assert_eq!(Shards::of_all(&runs), Shards::ALL);
        assert_eq!(Shards::of_all([]), Shards::NONE);
        assert!(runs.iter().all(|run| Shards::of(run).0.count_ones() == 1));
    }
}
