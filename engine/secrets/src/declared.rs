//! Declared that a plan declares for its secrets: variables and files of this machine.
//!
//! For runs of this machine only: a server must never read its own environment or files because a
//! repository names them.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use plue_plan::Plan;
use plue_store::secret::MAX_SECRET_BYTES;

use crate::{
    Error,
    layers::{Environment, Request},
};

/// The sources of one plan.
pub(super) struct Declared<'a> {
    environment: Environment<'a>,
    repo: &'a Path,
    plan: &'a Plan,
}

// === impl Declared ===

impl<'a> Declared<'a> {
    pub(super) fn new(environment: Environment<'a>, request: Request<'a>) -> Self {
        Self { environment, repo: request.repo, plan: request.plan }
    }

    /// Source that the plan declares for this secret: `env:NAME` or `file:PATH`.
    pub(super) fn source(&self, name: &str) -> Option<&str> {
        self.plan.secrets.get(name).map(String::as_str)
    }

    /// The text of a secret from its source. `None`: no source, or nothing is there.
    ///
    /// # Errors
    /// A file that is there and cannot be read, is empty, too large or holds NUL.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.source(name).and_then(|source| source.split_once(':')) {
            Some(("env", variable)) => Ok((self.environment)(variable).map(String::into_bytes)),
            Some(("file", path)) => self.file(name, path),
            Some(_) | None => Ok(None),
        }
    }

    /// Relative paths are the repository's; `~/` is the home directory.
    fn file(&self, name: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let home = || (self.environment)("HOME").map(PathBuf::from);
        let place = match (path.strip_prefix("~/"), home()) {
            (Some(rest), Some(home)) => home.join(rest),
            (_, _) => self.repo.join(path),
        };
        let refused =
            |why: String| Error::Declared { name: name.to_owned(), path: place.clone(), why };
        let file = match fs::File::open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
        };
        let is_file = file.metadata().is_ok_and(|entry| entry.is_file());
        if !is_file {
            return Err(refused("this is no regular file".to_owned()));
        }
        let most = u64::try_from(MAX_SECRET_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text).map_err(|error| refused(error.to_string()))?;
        if text.len() > MAX_SECRET_BYTES {
            return Err(refused(format!("it has more than {MAX_SECRET_BYTES} bytes")));
        }
        drop_line_end(&mut text);
        if text.is_empty() || text.contains(&0) {
            return Err(refused("it is empty or holds a NUL character".to_owned()));
        }
        Ok(Some(text))
    }
}

/// Drops the line end of a text of one line; one of several lines stays as it is.
pub fn drop_line_end(text: &mut Vec<u8>) {
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    if lines == 1 && text.ends_with(b"\n") {
        text.pop();
        if text.ends_with(b"\r") {
            text.pop();
        }
    }
}
