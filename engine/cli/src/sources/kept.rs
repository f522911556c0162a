//! Plans of earlier commands: the planner's cache, kept in the database, and a guess whether it will
//! be of use, which decides whether evaluators are started at once.
//!
//! Must not decide whether an entry holds: the planner hashes again what it was made from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use plue_planner::cache::{Boxed, PlanCache};
use plue_store::Store;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// Sources whose plans are remembered in the guess.
const MAX_GUESSES: usize = 256;
/// Bytes of a guess.
const GUESS_BYTES: usize = 16;
/// Bytes of a workflow file that is looked at for a guess.
const MAX_SOURCE_BYTES: u64 = 1024 * 1024;

/// The database of this command, as soon as it is open.
pub type Opening = watch::Sender<Option<Store>>;

/// Plans in a database that may still be being opened.
#[derive(Debug, Clone)]
pub struct Kept {
    store: watch::Receiver<Option<Store>>,
    guesses: PathBuf,
}

// === impl Kept ===

impl Kept {
    /// Plans of the database in this directory, and the way to hand the database in. Dropped, it says
    /// that there is none.
    pub fn new(state: &Path) -> (Opening, Self) {
        let (opening, store) = watch::channel(None);
        (opening, Self { store, guesses: state.join("planned") })
    }

    async fn opened(&self) -> Option<Store> {
        let mut store = self.store.clone();
        store.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether a plan of this file as it is was made before; a wrong guess only costs time.
    pub fn is_likely(&self, file: &Path) -> bool {
        let Some(guess) = guess(file) else { return false };
        let known = fs::read(&self.guesses).unwrap_or_default();
        known.chunks_exact(GUESS_BYTES).any(|known| known == guess)
    }

    /// Notes that plans of this file are kept now. Two commands at once may lose one of two notes.
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
            tracing::debug!(%error, "not noted that plans are kept");
        }
    }
}

impl PlanCache for Kept {
    fn get<'c>(&'c self, key: &'c str) -> Boxed<'c, Option<Vec<u8>>> {
        Box::pin(async move {
            let found = self.opened().await?.evaluation(key).await;
            let found = found.inspect_err(|error| tracing::debug!(%error, "no kept plans"));
            found.ok().flatten().map(String::into_bytes)
        })
    }

    fn put<'c>(&'c self, key: &'c str, value: Vec<u8>) -> Boxed<'c, ()> {
        Box::pin(async move {
            let Some(store) = self.opened().await else { return };
            let Ok(entry) = String::from_utf8(value) else { return };
            if let Err(error) = store.keep_evaluation(key, entry).await {
                tracing::debug!(%error, "plans not kept");
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
    fn a_file_is_likely_known_until_it_changes_and_old_guesses_go() {
        let folder = tempfile::tempdir().unwrap();
        let (_opening, kept) = Kept::new(folder.path());
        let file = folder.path().join("w.plue.py");
        fs::write(&file, "one").unwrap();
        assert!(!kept.is_likely(&file));
        kept.note(&file);
        assert!(kept.is_likely(&file));
        fs::write(&file, "two").unwrap();
        assert!(!kept.is_likely(&file));
        for number in 0..MAX_GUESSES {
            fs::write(&file, format!("{number}")).unwrap();
            kept.note(&file);
        }
        fs::write(&file, "one").unwrap();
        assert!(!kept.is_likely(&file));
        let length = fs::metadata(&kept.guesses).unwrap().len();
        assert_eq!(length, (MAX_GUESSES * GUESS_BYTES) as u64);
    }
}
