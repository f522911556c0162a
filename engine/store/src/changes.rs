//! Wake-ups: a number that grows after each commit. They only make things prompt; whoever waits must
//! look again at the rows, and must poll as well if other processes write.

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

/// The sending side.
#[derive(Debug, Clone)]
pub(crate) struct Changes(Arc<Senders>);

#[derive(Debug)]
struct Senders {
    any: watch::Sender<u64>,
    shards: Vec<watch::Sender<u64>>,
}

// === impl Shards ===

impl Shards {
    /// Nobody.
    pub(crate) const NONE: Self = Self(0);
    /// Everybody.
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
