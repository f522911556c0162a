//! Errors of keys and layers; none holds a secret or a key.

use std::{io, path::PathBuf};

use plue_store::secret::SecretError;

use crate::keys::KeySource;

/// A key or a secret that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed to answer.
    #[error(transparent)]
    Store(#[from] plue_store::Error),
    /// A stored secret, or the keys for it.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is no master key.
    #[error("there is no master key at {0}")]
    NoKey(KeySource),
    /// Group or others have access to the key file.
    #[error("{} can be read by others", .0.display())]
    Exposed(PathBuf),
    /// The key file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file of the key.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// The key file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file of the key.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// The text is no master key.
    #[error("{from}: {source}")]
    Malformed {
        /// A variable or a file.
        from: String,
        /// The error of its content.
        source: SecretError,
    },
    /// The path of a repository is not UTF-8, so it cannot be a scope.
    #[error("the path {} is not UTF-8, so it has no secrets", .0.display())]
    NotUtf8(PathBuf),
    /// A file that a plan declares as the source of a secret.
    #[error("secret `{name}`: {}: {why}", path.display())]
    Declared {
        /// Name of the secret.
        name: String,
        /// The file of the source.
        path: PathBuf,
        /// The error of its content.
        why: String,
    },
}
