//! The configuration of a registered runner: one file that only its user reads, as it has the credential.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Error, files, link::EngineDial};

/// Bytes of a configuration.
const MAX_BYTES: usize = 64 * 1024;

/// The configuration, as JSON.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the server.
    pub server: String,
    /// Id of this runner.
    pub runner: String,
    /// Proof of its identity in every session.
    pub credential: String,
    /// Folder of its files.
    pub state: PathBuf,
    /// Certificates that are trusted in addition to those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<PathBuf>,
}

/// The places of files that the command line does not name.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    config: PathBuf,
    state: PathBuf,
}

// === impl Config ===

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`Error::Registration`]: there is none, or it is malformed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::Registration(format!(
                "{}: {why}; plue-runner register writes it",
                path.display()
            ))
        };
        let bytes = files::read_followed(path, MAX_BYTES).map_err(|error| failed(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(&error))
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        let draft = path.with_added_extension("new");
        let written = files::create(&draft, 0o600).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&draft, path)).map_err(Error::state(path))
    }

    pub(super) fn dial(&self) -> Result<EngineDial, Error> {
        let dial = EngineDial::parse(&self.server);
        let mut dial = dial.ok_or_else(|| {
            Error::Registration(format!("{:?} is not the address of a server", self.server))
        })?;
        if let Some(path) = &self.certificates {
            dial.trust(path.clone());
        }
        Ok(dial)
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("server", &self.server)
            .field("runner", &self.runner)
            .finish_non_exhaustive()
    }
}

// === impl Paths ===

impl Paths {
    /// The system's folders for root, those of the XDG Base Directory Specification for others.
    pub(super) fn of(variables: &[(OsString, OsString)], is_root: bool) -> Self {
        if is_root {
            return Self {
                config: "/etc/plue/runner.json".into(),
                state: "/var/lib/plue-runner".into(),
            };
        }
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| known == OsStr::new(name));
            found.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute())
        };
        let home = || find("HOME").unwrap_or_else(|| "/".into());
        let config = find("XDG_CONFIG_HOME").unwrap_or_else(|| home().join(".config"));
        let state = find("XDG_STATE_HOME").unwrap_or_else(|| home().join(".local/state"));
        Self { config: config.join("plue/runner.json"), state: state.join("plue-runner") }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.config.clone()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.state.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn configurations_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runner.json");
        let config = Config {
            server: "https://plue.example".to_owned(),
            runner: "r".to_owned(),
            credential: "hunter2".to_owned(),
            state: folder.path().to_owned(),
            certificates: None,
        };
        config.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Config::read(&path).unwrap().credential, "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        fs::write(&path, "{}").unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("plue-runner register"), "{error}");
    }

    #[test]
    fn users_have_their_own_paths() {
        let variables = [("HOME", "/home/ada"), ("XDG_STATE_HOME", "relative")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let paths = Paths::of(&variables, false);
        assert_eq!(paths.config(), Path::new("/home/ada/.config/plue/runner.json"));
        assert_eq!(paths.state(), Path::new("/home/ada/.local/state/plue-runner"));
        assert_eq!(Paths::of(&variables, true).config(), Path::new("/etc/plue/runner.json"));
    }
}
