//! Options of opening a store.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Commits that a power cut may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// SQLite `synchronous=NORMAL`: safe against the death of any process; a power cut may lose the
    /// last commits, never corrupts. For local runs.
    #[default]
    Normal,
    /// SQLite `synchronous=FULL`: a commit is on the disk. For `plue serve`. Postgres decides this in
    /// its own configuration.
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// `sqlite:PATH`, a plain path, or `postgres://…`. A path may end in `?synchronous=full` or
    /// `?synchronous=normal`, which comes before `durability`.
    pub url: String,
    /// See [`Durability`].
    pub durability: Durability,
    /// Whether a database that is not there is made (the file; tables of an empty database).
    pub create: bool,
    /// Open only to read. Such a store refuses every write.
    pub read_only: bool,
    /// Bytes that an SQLite file may grow to; more is [`Error::DiskFull`]. `None`: as the disk allows.
    pub max_bytes: Option<u64>,
    /// Folder of larger blobs; `None`: `blobs` next to an SQLite file, and none with Postgres.
    /// Engines that share a database must share this too.
    pub blobs: Option<PathBuf>,
}

pub(crate) enum Address {
    Sqlite(PathBuf),
    /// A server, as sqlx wants it.
    Postgres(String),
}

// === impl StoreOptions ===

impl StoreOptions {
    /// A database that is made when it is not there, with [`Durability::Normal`].
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            durability: Durability::Normal,
            create: true,
            read_only: false,
            max_bytes: None,
            blobs: None,
        }
    }

    #[must_use]
    pub fn sqlite(path: &Path) -> Self {
        Self::new(format!("sqlite:{}", path.display()))
    }

    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Only if the database is there already.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.create = false;
        self
    }

    /// Only to read; implies [`Self::existing`].
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.create = false;
        self.read_only = true;
        self
    }

    /// With this folder for larger blobs.
    #[must_use]
    pub fn blobs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.blobs = Some(folder.into());
        self
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        match self.address() {
            Ok(Address::Sqlite(path)) => Some(path),
            Ok(Address::Postgres(_)) | Err(_) => None,
        }
    }

    pub(crate) fn blob_folder(&self, address: &Address) -> Option<PathBuf> {
        let default = match address {
            Address::Sqlite(path) => path.parent().map(|parent| parent.join("blobs")),
            Address::Postgres(_) => None,
        };
        self.blobs.clone().or(default)
    }

    pub(crate) fn address(&self) -> Result<Address, Error> {
        let url = self.url.as_str();
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Address::Postgres(url.to_owned()));
        }
        let path = match url.split_once(':') {
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some((scheme, rest)) if rest.starts_with("//") && !scheme.contains('/') => {
                return Err(Error::BadUrl(self.url.clone()));
            }
            _ => url,
        };
        let path = split_durability(path).0;
        if path.is_empty() || path.starts_with(":memory:") {
            return Err(Error::BadUrl(self.url.clone()));
        }
        Ok(Address::Sqlite(PathBuf::from(path)))
    }
}

impl StoreOptions {
    /// Durability of the address, else of the options.
    pub(crate) fn wanted_durability(&self) -> Durability {
        split_durability(&self.url).1.unwrap_or(self.durability)
    }
}

/// A path without its durability parameter, and the durability.
fn split_durability(path: &str) -> (&str, Option<Durability>) {
    let known = [("full", Durability::Full), ("normal", Durability::Normal)];
    let found = known.into_iter().find_map(|(name, durability)| {
        let path = path.strip_suffix(name)?.strip_suffix("?synchronous=")?;
        Some((path, Some(durability)))
    });
    found.unwrap_or((path, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> Option<PathBuf> {
        match StoreOptions::new(url).address() {
            Ok(Address::Sqlite(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn addresses_of_files_may_have_a_durability() {
        let asked = StoreOptions::new("sqlite:/a/b.db?synchronous=full");
        assert_eq!(asked.wanted_durability(), Durability::Full);
        assert_eq!(path(&asked.url), Some("/a/b.db".into()));
        let asked = StoreOptions::new("/a/b.db?synchronous=normal").durability(Durability::Full);
        assert_eq!(asked.wanted_durability(), Durability::Normal);
        let plain = StoreOptions::new("/a/b.db?other").durability(Durability::Full);
        assert_eq!(plain.wanted_durability(), Durability::Full);
        assert_eq!(path(&plain.url), Some("/a/b.db?other".into()));
    }

    #[test]
    fn an_address_is_a_path_or_a_server() {
        assert_eq!(path("sqlite:a/b.db"), Some("a/b.db".into()));
        assert_eq!(path("sqlite:///a/b.db"), Some("/a/b.db".into()));
        assert_eq!(path("/a/b.db"), Some("/a/b.db".into()));
        for wrong in ["", "sqlite:", "sqlite::memory:", "mysql://x"] {
            let refused = StoreOptions::new(wrong).address();
            assert!(matches!(refused, Err(Error::BadUrl(_))), "{wrong}");
        }
    }
}
