//! The folder of the server's own files.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The state directory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StateDir(PathBuf);

// === impl StateDir ===

impl StateDir {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A folder of the state directory, created with mode 0700 if it is missing.
    ///
    /// # Errors
    /// [`Error::Folder`] if it cannot be created.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = self.0.join(name);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| Error::Folder { path: folder.display().to_string(), source })?;
        Ok(folder)
    }
}
