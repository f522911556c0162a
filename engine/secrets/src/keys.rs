//! The master key: the variable `PLUE_SECRET_KEY`, else the credential `plue-secret-key` of a systemd
//! service, else a file that only its user may read.

use std::{
    fmt, fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use plue_store::secret::Keyring;
use zeroize::Zeroizing;

use crate::Error;

/// The variable that holds the master key, or several with commas between; the first one seals.
pub const KEY_VARIABLE: &str = "PLUE_SECRET_KEY";
/// The name of the service credential that holds the master key (systemd.exec(5), `LoadCredential=`).
pub const CREDENTIAL: &str = "plue-secret-key";
/// Bytes of a key file that are read.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// A place of the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// [`KEY_VARIABLE`].
    Variable,
    /// The read-only file of the service credential [`CREDENTIAL`].
    Credential(PathBuf),
    /// A file with the key.
    File(PathBuf),
}

/// The master key of one process.
#[derive(Clone)]
pub struct KeyStore {
    source: KeySource,
    /// Text of [`KEY_VARIABLE`].
    variable: Zeroizing<String>,
}

// === impl KeySource ===

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => write!(f, "${KEY_VARIABLE}"),
            Self::Credential(path) | Self::File(path) => path.display().fmt(f),
        }
    }
}

// === impl KeyStore ===

impl KeyStore {
    /// Picks the source by the environment; `folder` is of the file if nothing else is set.
    #[must_use]
    pub fn of(environment: &dyn Fn(&str) -> Option<String>, folder: &Path) -> Self {
        if let Some(text) = environment(KEY_VARIABLE) {
            return Self { source: KeySource::Variable, variable: Zeroizing::new(text) };
        }
        let credential = environment("CREDENTIALS_DIRECTORY")
            .map(|folder| PathBuf::from(folder).join(CREDENTIAL))
            .filter(|path| path.exists());
        let source = match credential {
            Some(path) => KeySource::Credential(path),
            None => KeySource::File(folder.join("secret.key")),
        };
        Self { source, variable: Zeroizing::default() }
    }

    /// The place where the master key is, or is to be.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// The master keys, if there are any.
    ///
    /// # Errors
    /// Others may read them, they are malformed.
    pub fn read(&self) -> Result<Option<Keyring>, Error> {
        match &self.source {
            KeySource::Variable => parsed(&self.variable, || format!("${KEY_VARIABLE}")).map(Some),
            // Its mode has the service's access list in the place of the group's.
            KeySource::Credential(path) => read_file(path, false),
            KeySource::File(path) => read_file(path, true),
        }
    }

    /// The master keys.
    ///
    /// # Errors
    /// As [`KeyStore::read`]; there are none.
    pub fn open(&self) -> Result<Keyring, Error> {
        self.read()?.ok_or_else(|| Error::NoKey(self.source.clone()))
    }

    /// The master keys; made, in a file that only this user may read, if there are none.
    ///
    /// # Errors
    /// As [`KeyStore::open`]; the file cannot be made.
    pub fn make(&self) -> Result<Keyring, Error> {
        if let Some(keys) = self.read()? {
            return Ok(keys);
        }
        let KeySource::File(path) = &self.source else { return self.open() };
        let keys = Keyring::generate()?;
        match write(path, &keys, false) {
            Ok(()) => Ok(keys),
            // Another command was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(),
            Err(source) => Err(Error::Unwritable { path: path.clone(), source }),
        }
    }

    /// [`KeyStore::make`] for a server: `plue secret rotate` replaces the key file under it.
    ///
    /// # Errors
    /// As [`KeyStore::make`].
    pub fn serving(&self) -> Result<Keyring, Error> {
        let keys = self.make()?;
        Ok(match self.source.clone() {
            KeySource::Variable => keys,
            KeySource::Credential(path) => {
                keys.read_again(move || read_file(&path, false).ok().flatten())
            }
            KeySource::File(path) => keys.read_again(move || read_file(&path, true).ok().flatten()),
        })
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Writes a key file whole or not at all; without `replace` only if there is none.
///
/// # Errors
/// The file system.
pub fn write(path: &Path, keys: &Keyring, replace: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = folder.join(format!(".secret.key.{}", std::process::id()));
    let _left_behind = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(keys.to_text().as_bytes()).and_then(|()| file.sync_all());
    let placed = written
        .and_then(|()| if replace { fs::rename(&new, path) } else { fs::hard_link(&new, path) });
    let _gone = fs::remove_file(&new);
    placed.and_then(|()| fs::File::open(folder)?.sync_all())
}

fn parsed(text: &str, from: impl Fn() -> String) -> Result<Keyring, Error> {
    Keyring::parse(text).map_err(|source| Error::Malformed { from: from(), source })
}

/// `is_ours`: a mode that gives group or others any access is an error.
fn read_file(path: &Path, is_ours: bool) -> Result<Option<Keyring>, Error> {
    let failed = |source: io::Error| Error::Unreadable { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.mode();
    if is_ours && mode & 0o077 != 0 {
        return Err(Error::Exposed(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
    parsed(&text, || path.display().to_string()).map(Some)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn made_keys_are_private_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyStore::of(&nothing, &folder.path().join("plue"));
        assert!(matches!(keys.open(), Err(Error::NoKey(KeySource::File(_)))));
        let made = keys.make().unwrap();
        assert_eq!(*keys.open().unwrap().to_text(), *made.to_text());
        let path = folder.path().join("plue/secret.key");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(keys.open(), Err(Error::Exposed(_))));
    }

    #[test]
    fn variables_come_before_files() {
        let folder = tempfile::tempdir().unwrap();
        KeyStore::of(&nothing, folder.path()).make().unwrap();
        let variable = |name: &str| (name == KEY_VARIABLE).then(|| "no key".to_owned());
        let keys = KeyStore::of(&variable, folder.path());
        assert_eq!(*keys.source(), KeySource::Variable);
        let error = keys.open().unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }));
        assert!(!format!("{keys:?} {error}").contains("no key"));
    }
}
