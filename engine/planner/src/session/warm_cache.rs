//! Plans of earlier commands: a cache that may still be being opened, and a guess whether it has the
//! plan, which decides whether evaluators are started at once.
//!
//! Must not decide whether an entry holds: the planner hashes again what it was made from.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::cache::{Boxed, PlanCache};

/// Sources whose plans are remembered in the guess.
const MAX_GUESSES: usize = 256;
/// Bytes of a guess.
const GUESS_BYTES: usize = 16;
/// Bytes of a workflow file that is looked at for a guess.
const MAX_SOURCE_BYTES: u64 = 1024 * 1024;

/// Hands the cache over as soon as it is open.
pub type Opening = watch::Sender<Option<Arc<dyn PlanCache>>>;

/// A cache that may still be being opened.
#[derive(Debug, Clone)]
pub struct WarmCache {
    cache: watch::Receiver<Option<Arc<dyn PlanCache>>>,
    guesses: PathBuf,
}

// === impl WarmCache ===

impl WarmCache {
    /// The cache of this state directory, and the way to hand it over. If that is dropped, there is
    /// none.
    #[must_use]
    pub fn new(state: &Path) -> (Opening, Self) {
        let (opening, cache) = watch::channel(None);
        (opening, Self { cache, guesses: state.join("planned") })
    }

    async fn opened(&self) -> Option<Arc<dyn PlanCache>> {
        let mut cache = self.cache.clone();
        cache.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether a plan of this file as it is was made before; a wrong guess only costs time.
    pub fn is_likely(&self, file: &Path) -> bool {
        let Some(guess) = guess(file) else { return false };
        let known = fs::read(&self.guesses).unwrap_or_default();
        known.chunks_exact(GUESS_BYTES).any(|known| known == guess)
    }

    /// Notes that plans of this file are cached now. Two commands at once may lose one of two notes.
    pub fn note(&self, file: &Path) {
        if self.is_likely(file) {
            return;
        }
        let Some(guess) = guess(file) else { return };
        let mut known = fs::read(&self.guesses).unwrap_or_default();
        known.extend_from_slice(&guess);
        let over = known.len().saturating_sub(MAX_GUESSES * GUESS_BYTES);
        let fresh = self.guesses.with_extension(format!("{}", std::process::id()));
        let kept = known.get(over..).unwrap_or_default();
        let written = fs::write(&fresh, kept).and_then(|()| fs::rename(&fresh, &self.guesses));
        if let Err(error) = written {
            tracing::debug!(%error, "failed to note that plans are cached; the next command starts an evaluator");
        }
    }
}

impl PlanCache for WarmCache {
    fn get<'c>(&'c self, key: &'c str) -> Boxed<'c, Option<Vec<u8>>> {
        Box::pin(async move { self.opened().await?.get(key).await })
    }

    fn put<'c>(&'c self, key: &'c str, value: Vec<u8>) -> Boxed<'c, ()> {
        Box::pin(async move {
            if let Some(cache) = self.opened().await {
                cache.put(key, value).await;
            }
        })
    }
}

fn guess(file: &Path) -> Option<[u8; GUESS_BYTES]> {
    let length = fs::metadata(file).ok()?.len();
    let bytes = fs::read(file).ok().filter(|_| length <= MAX_SOURCE_BYTES)?;
    let mut hasher = Sha256::new();
    hasher.update(file.as_os_str().as_encoded_bytes());
    hasher.update([0]);
    hasher.update(bytes);
    hasher.finalize().first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_likely_cached_until_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let (_opening, cache) = WarmCache::new(folder.path());
        let file = folder.path().join("w.plue.py");
        fs::write(&file, "one").unwrap();
        assert!(!cache.is_likely(&file));
        cache.note(&file);
        assert!(cache.is_likely(&file));
        fs::write(&file, "two").unwrap();
        assert!(!cache.is_likely(&file));
        for number in 0..MAX_GUESSES {
            fs::write(&file, format!("{number}")).unwrap();
            cache.note(&file);
        }
        fs::write(&file, "one").unwrap();
        assert!(!cache.is_likely(&file));
        let length = fs::metadata(&cache.guesses).unwrap().len();
        assert_eq!(length, (MAX_GUESSES * GUESS_BYTES) as u64);
    }
}
