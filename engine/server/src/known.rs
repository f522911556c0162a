//! Commits that were looked at lately: their tree as workflow files see it, and their files, packed.
//!
//! A commit never changes, so what is known of it stays true; many runs of one commit then cost no
//! process of git. Must not answer for a mirror: whether a repository has a commit is asked there. Of
//! mirrors it is known only when they were fetched last.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use plue_forge::git::CommitId;
use plue_planner::CommitView;

/// Trees at most; each may keep a `git cat-file` waiting.
const MAX_VIEWS: usize = 8;
/// Packed commits at most.
const MAX_PACKED: usize = 16;
/// A larger packed commit is not held in memory.
pub(crate) const MAX_PACKED_BYTES: u64 = 2 * 1024 * 1024;
/// Messages of commits at most.
const MAX_MESSAGES: usize = 64;
/// A longer message is not held in memory: outsiders write them too.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Mirrors at most whose last fetch is known.
const MAX_FETCHES: usize = 1_000;
/// Clocks of two engines of one database differ by less.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(10);

/// A commit of a mirror, and what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The mirror.
    pub(crate) folder: PathBuf,
    /// The commit.
    pub(crate) commit: CommitId,
    /// The commit before it.
    pub(crate) base: Option<String>,
}

/// What is known of commits.
#[derive(Debug, Default)]
pub(crate) struct Known {
    views: Mutex<Newest<Key, Arc<dyn CommitView>>>,
    packed: Mutex<Newest<Key, Arc<[u8]>>>,
    git_dirs: Mutex<Newest<[u8; 32], Arc<[u8]>>>,
    messages: Mutex<Newest<(PathBuf, CommitId), Arc<str>>>,
    /// By mirror and URL: the start of the last fetch of all branches and tags.
    fetches: Mutex<Newest<(PathBuf, String), Timestamp>>,
}

/// The newest last.
#[derive(Debug)]
struct Newest<K, V>(Vec<(K, V)>);

// === impl Known ===

impl Known {
    pub(crate) fn view(&self, key: &Key) -> Option<Arc<dyn CommitView>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    pub(crate) fn put_view(&self, key: Key, view: Arc<dyn CommitView>) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).put(key, view, MAX_VIEWS);
    }

    /// The files of a commit as tar.
    pub(crate) fn packed(&self, folder: &Path, commit: &CommitId) -> Option<Arc<[u8]>> {
        let key = Key { folder: folder.to_owned(), commit: commit.clone(), base: None };
        self.packed.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
    }

    pub(crate) fn put_packed(&self, folder: &Path, commit: &CommitId, bytes: Arc<[u8]>) {
        let key = Key { folder: folder.to_owned(), commit: commit.clone(), base: None };
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        packed.put(key, bytes, MAX_PACKED);
    }

    /// A `.git` directory as tar, by the hash of everything it depends on.
    pub(crate) fn git_dir(&self, key: &[u8; 32]) -> Option<Arc<[u8]>> {
        self.git_dirs.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    pub(crate) fn put_git_dir(&self, key: [u8; 32], bytes: Arc<[u8]>) {
        let mut git_dirs = self.git_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        git_dirs.put(key, bytes, MAX_PACKED);
    }

    /// Full message of a commit, unless it is a long one.
    pub(crate) fn message(&self, folder: &Path, commit: &CommitId) -> Option<Arc<str>> {
        let key = (folder.to_owned(), commit.clone());
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
    }

    pub(crate) fn put_message(&self, folder: &Path, commit: &CommitId, message: Arc<str>) {
        if message.len() > MAX_MESSAGE_BYTES {
            return;
        }
        let key = (folder.to_owned(), commit.clone());
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.put(key, message, MAX_MESSAGES);
    }

    /// Whether all branches and tags of a URL were fetched into a mirror after `time`, by whichever
    /// engine's clock.
    pub(crate) fn is_fetched_since(&self, folder: &Path, url: &str, time: Timestamp) -> bool {
        let key = (folder.to_owned(), url.to_owned());
        let begun = self.fetches.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        begun.is_some_and(|begun| begun.duration_since(time) > CLOCK_SKEW)
    }

    /// Notes a fetch of all branches and tags that began at `begun` and succeeded.
    pub(crate) fn put_fetch(&self, folder: &Path, url: &str, begun: Timestamp) {
        let key = (folder.to_owned(), url.to_owned());
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.put(key, begun, MAX_FETCHES);
    }
}

// === impl Newest ===

impl<K, V> Default for Newest<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V: Clone> Newest<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        let found = self.0.remove(at);
        let value = found.1.clone();
        self.0.push(found);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, max: usize) {
        self.0.retain(|(known, _)| *known != key);
        if self.0.len() >= max {
            self.0.remove(0);
        }
        self.0.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_counts_for_what_came_well_before_it() {
        let (known, folder) = (Known::default(), Path::new("mirror"));
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let serves = |url: &str, time| known.is_fetched_since(folder, url, at(time));
        assert!(!serves("a", 0), "nothing was fetched");
        known.put_fetch(folder, "a", at(100));
        assert!(serves("a", 89) && !serves("b", 89));
        assert!(!serves("a", 90) && !serves("a", 101), "another engine's clock may be ahead");
    }

    #[test]
    fn what_was_not_asked_for_the_longest_goes_first() {
        let mut newest = Newest::default();
        for key in 0..3 {
            newest.put(key, key, 3);
        }
        assert_eq!(newest.get(&0), Some(0));
        newest.put(3, 3, 3);
        assert_eq!(newest.get(&1), None);
        assert_eq!([0, 2, 3].map(|key| newest.get(&key)), [Some(0), Some(2), Some(3)]);
        newest.put(2, 20, 3);
        assert_eq!((newest.get(&2), newest.get(&0)), (Some(20), Some(0)));
    }
}
