//! Cache of recent commits: their trees, messages and packed files. Commits are immutable, so entries
//! never expire, and many runs of one commit start no git process.
//!
//! Must not decide whether a repository has a commit: only its mirror does. The cache also holds the time
//! of each mirror's last fetch.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use plue_forge::git::CommitId;
use plue_planner::CommitView;

/// Cached trees; each may hold an idle `git cat-file`.
const MAX_VIEWS: usize = 8;
/// Most packed commits in the cache.
const MAX_PACKED: usize = 16;
/// Bytes of a packed commit; larger ones are not cached.
pub(crate) const MAX_PACKED_BYTES: u64 = 2 * 1024 * 1024;
/// Most commit messages in the cache.
const MAX_MESSAGES: usize = 64;
/// Bytes of a message; longer ones, which untrusted authors may write, are not cached.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Mirrors whose last fetch is remembered.
const MAX_FETCHES: usize = 1_000;
/// Upper bound of the difference between the clocks of two engines.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(10);

/// A commit of a mirror, and its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitKey {
    /// Folder of the mirror.
    pub(crate) folder: PathBuf,
    pub(crate) commit: CommitId,
    /// The commit that changed files are determined against.
    pub(crate) base: Option<String>,
}

/// Bounded caches, each with its least recently used entry first.
#[derive(Debug, Default)]
pub(crate) struct CommitCache {
    views: Mutex<Lru<CommitKey, Arc<dyn CommitView>>>,
    packed: Mutex<Lru<CommitKey, Arc<[u8]>>>,
    git_dirs: Mutex<Lru<[u8; 32], Arc<[u8]>>>,
    messages: Mutex<Lru<(PathBuf, CommitId), Arc<str>>>,
    /// Start of the last complete fetch, by mirror and URL.
    fetches: Mutex<Lru<(PathBuf, String), Timestamp>>,
}

/// A list in order of use, the most recently used entry last.
#[derive(Debug)]
struct Lru<K, V>(Vec<(K, V)>);

// === impl CommitCache ===

impl CommitCache {
    pub(crate) fn view(&self, key: &CommitKey) -> Option<Arc<dyn CommitView>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    pub(crate) fn put_view(&self, key: CommitKey, view: Arc<dyn CommitView>) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).put(key, view, MAX_VIEWS);
    }

    /// The files of a commit as a tar archive.
    pub(crate) fn packed(&self, folder: &Path, commit: &CommitId) -> Option<Arc<[u8]>> {
        let key = CommitKey { folder: folder.to_owned(), commit: commit.clone(), base: None };
        self.packed.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
    }

    pub(crate) fn put_packed(&self, folder: &Path, commit: &CommitId, bytes: Arc<[u8]>) {
        let key = CommitKey { folder: folder.to_owned(), commit: commit.clone(), base: None };
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        packed.put(key, bytes, MAX_PACKED);
    }

    /// A `.git` directory as a tar archive, by the hash of its inputs.
    pub(crate) fn git_dir(&self, key: &[u8; 32]) -> Option<Arc<[u8]>> {
        self.git_dirs.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    pub(crate) fn put_git_dir(&self, key: [u8; 32], bytes: Arc<[u8]>) {
        let mut git_dirs = self.git_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        git_dirs.put(key, bytes, MAX_PACKED);
    }

    /// The full message of a commit.
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

    /// Whether a complete fetch of a URL into a mirror started after `time`, on any engine's clock.
    pub(crate) fn is_fetched_since(&self, folder: &Path, url: &str, time: Timestamp) -> bool {
        let key = (folder.to_owned(), url.to_owned());
        let started_at = self.fetches.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        started_at.is_some_and(|started_at| started_at.duration_since(time) > CLOCK_SKEW)
    }

    /// Remembers the start of a successful fetch of all branches and tags.
    pub(crate) fn put_fetch(&self, folder: &Path, url: &str, started_at: Timestamp) {
        let key = (folder.to_owned(), url.to_owned());
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.put(key, started_at, MAX_FETCHES);
    }
}

// === impl Lru ===

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V: Clone> Lru<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        let at = self.0.iter().position(|(cached, _)| cached == key)?;
        let found = self.0.remove(at);
        let value = found.1.clone();
        self.0.push(found);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, max: usize) {
        self.0.retain(|(cached, _)| *cached != key);
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
    fn fetches_cover_events_well_before_them() {
        let (cache, folder) = (CommitCache::default(), Path::new("mirror"));
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let serves = |url: &str, time| cache.is_fetched_since(folder, url, at(time));
        assert!(!serves("a", 0), "nothing was fetched");
        cache.put_fetch(folder, "a", at(100));
        assert!(serves("a", 89) && !serves("b", 89));
        assert!(!serves("a", 90) && !serves("a", 101), "another engine's clock may be ahead");
    }

    #[test]
    fn least_recently_used_entries_go_first() {
        let mut lru = Lru::default();
        for key in 0..3 {
            lru.put(key, key, 3);
        }
        assert_eq!(lru.get(&0), Some(0));
        lru.put(3, 3, 3);
        assert_eq!(lru.get(&1), None);
        assert_eq!([0, 2, 3].map(|key| lru.get(&key)), [Some(0), Some(2), Some(3)]);
        lru.put(2, 20, 3);
        assert_eq!((lru.get(&2), lru.get(&0)), (Some(20), Some(0)));
    }
}
