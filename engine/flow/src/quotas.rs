//! Places of runs: the runs without a driver that are driven next, and the bounds that the others
//! wait for.
//!
//! Repositories take turns. Runs of forks have bounds of their own, for each pull request and in all, so
//! that they neither fill the places of a repository nor those of the others.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};

/// Runs of one pull request from a fork that are driven at the same time, unless configured.
pub const UNTRUSTED_PER_PULL_REQUEST: usize = 2;
/// Runs of forks that are driven at the same time, unless configured.
pub const UNTRUSTED: usize = 4;

/// The repository, and for a fork the pull request, whose bounds a run counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The repository; `None`: unknown.
    pub repo: Option<String>,
    /// The pull request, if the run is for a fork's change; 0 if its number is unknown.
    pub fork: Option<u64>,
}

/// Runs at the same time at most. Runs that wait for a person or a date do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Of all repositories and forks, by one engine.
    pub max_runs: usize,
    /// Of one repository, by all engines; runs of forks do not count.
    pub per_repo: usize,
    /// Of one pull request from a fork, by all engines.
    pub per_pull_request: usize,
    /// Of all forks, by all engines.
    pub untrusted: usize,
}

/// Runs that take a place now.
#[derive(Debug, Clone, Default)]
pub struct Busy {
    repos: HashMap<Option<String>, usize>,
    /// By repository, and of each by pull request.
    forks: HashMap<Option<String>, HashMap<u64, usize>>,
    untrusted: usize,
}

/// A run without a driver.
#[derive(Debug, Clone)]
pub struct Candidate<T> {
    /// The bounds that it counts against.
    pub lane: Lane,
    /// True if its cancellation was requested; cancellation needs no capacity.
    pub is_cancelled: bool,
    /// The caller's value for it, returned by [`next`].
    pub run: T,
}

/// The reason that a run does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Every place of the engine is taken.
    Place {
        /// Number of places that the engine has.
        max_runs: usize,
    },
    /// Its repository has as many runs as it may.
    Repository {
        /// Runs of one repository at most, without those of forks.
        per_repo: usize,
    },
    /// Its pull request has as many runs as it may.
    PullRequest {
        /// Number of the pull request; 0 if unknown.
        number: u64,
        /// Runs of one pull request from a fork at most.
        per_pull_request: usize,
    },
    /// Forks have as many runs as they may.
    Untrusted {
        /// Runs of all forks at most.
        untrusted: usize,
    },
    /// The disk is nearly full and it is a fork's.
    Disk {
        /// Fill level of the disk, in words.
        state: String,
    },
}

// === impl Quotas ===

impl Quotas {
    /// Default limits for `max_runs`: a repository gets half of them, forks at most half.
    #[must_use]
    pub fn of(max_runs: usize) -> Self {
        let half = (max_runs / 2).max(1);
        Self {
            max_runs,
            per_repo: half,
            per_pull_request: UNTRUSTED_PER_PULL_REQUEST.min(half),
            untrusted: UNTRUSTED.min(half),
        }
    }
}

// === impl Busy ===

impl Busy {
    /// Counts a run of this lane.
    pub fn add(&mut self, lane: &Lane, runs: usize) {
        match lane.fork {
            None => *self.repos.entry(lane.repo.clone()).or_default() += runs,
            Some(number) => {
                let of_repo = self.forks.entry(lane.repo.clone()).or_default();
                *of_repo.entry(number).or_default() += runs;
                self.untrusted += runs;
            }
        }
    }

    /// Runs of the lane's repository, those of forks or the others.
    fn of_repo(&self, lane: &Lane) -> usize {
        match lane.fork {
            None => self.repos.get(&lane.repo).copied().unwrap_or_default(),
            Some(_) => self.forks.get(&lane.repo).map_or(0, |of_repo| of_repo.values().sum()),
        }
    }

    fn of_pull_request(&self, lane: &Lane) -> usize {
        let of_repo = self.forks.get(&lane.repo);
        of_repo.zip(lane.fork).and_then(|(all, number)| all.get(&number).copied()).unwrap_or(0)
    }

    /// The bound that keeps a run of this lane from starting, if one does. `low_disk`: how full the disk
    /// is, in words, if it is too full for forks.
    #[must_use]
    pub fn in_the_way(
        &self,
        lane: &Lane,
        quotas: &Quotas,
        low_disk: Option<&str>,
    ) -> Option<Waits> {
        let Some(number) = lane.fork else {
            let per_repo = quotas.per_repo;
            return (self.of_repo(lane) >= per_repo).then_some(Waits::Repository { per_repo });
        };
        let Quotas { per_pull_request, untrusted, .. } = *quotas;
        if let Some(state) = low_disk {
            return Some(Waits::Disk { state: state.to_owned() });
        }
        if self.of_pull_request(lane) >= per_pull_request {
            return Some(Waits::PullRequest { number, per_pull_request });
        }
        (self.untrusted >= untrusted).then_some(Waits::Untrusted { untrusted })
    }
}

/// Runs to drive next, oldest first: at most `room` of them, plus the cancelled ones. The running
/// runs of a repository count against its next run; among equals, forks come last.
#[must_use]
pub fn next<T>(
    waiting: Vec<Candidate<T>>,
    mut busy: Busy,
    quotas: &Quotas,
    room: usize,
    low_disk: Option<&str>,
) -> Vec<T> {
    let (ending, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|one| one.is_cancelled);
    let mut chosen: Vec<T> = ending.into_iter().map(|one| one.run).collect();
    let mut ahead: HashMap<Lane, usize> = HashMap::new();
    let mut turns = Vec::with_capacity(waiting.len());
    for one in waiting {
        // All forks of a repository share its turns.
        let shared = Lane { repo: one.lane.repo.clone(), fork: one.lane.fork.map(|_| 0) };
        let before = ahead.entry(shared).or_insert_with(|| busy.of_repo(&one.lane));
        *before += 1;
        turns.push((*before, one.lane.fork.is_some(), one));
    }
    // Stable: within a turn the oldest first.
    turns.sort_by_key(|(turn, is_fork, _)| (*turn, *is_fork));
    let mut room = room;
    for (_, _, one) in turns {
        if room == 0 {
            break;
        }
        if busy.in_the_way(&one.lane, quotas, low_disk).is_none() {
            busy.add(&one.lane, 1);
            room -= 1;
            chosen.push(one.run);
        }
    }
    chosen
}

// === impl Waits ===

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { max_runs } => {
                write!(f, "every place for runs is taken (--max-runs {max_runs})")
            }
            Self::Repository { per_repo } => {
                write!(f, "its repository has {per_repo} runs already (--max-runs-per-repo)")
            }
            Self::PullRequest { number, per_pull_request } => write!(
                f,
                "pull request {number} is from a fork and has {per_pull_request} runs already \
                 (limits.untrusted_runs_per_pull_request)"
            ),
            Self::Untrusted { untrusted } => {
                write!(f, "forks have {untrusted} runs already (limits.untrusted_runs)")
            }
            Self::Disk { state } => {
                write!(f, "it is from a fork, and the disk is nearly full: {state}")
            }
        }
    }
}
