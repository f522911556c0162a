//! The folder in which attempts run, and the folder of the runner's own files.
//!
//! The runner's files lie in one flat folder under its state directory and are named after
//! attempt and fence; a step that writes no output and has no long source makes no file at all.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use plue_wire::{environment::is_usual, runner::Claim};

mod run_files;

pub(crate) use self::run_files::{Ordered, RunFiles, wipe};
use crate::{Error, attempt::launch::Environment, files};

/// Bytes of the reason why a process was not started.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Event files on disk. Steps of one run share one, and a runner serves few runs at a time.
const KEPT_EVENTS: usize = 64;

/// The directories of a runner, and the variables its steps inherit.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Working directory of the steps, without symbolic links.
    pub(crate) root: PathBuf,
    /// Variables that every step inherits.
    pub(crate) inherited: Environment,
    folder: PathBuf,
    /// Files that an engine of another machine sends.
    pub(crate) files: RunFiles,
    events: VecDeque<(String, PathBuf)>,
    events_written: u64,
    /// Locked until the process ends.
    _lock: File,
}

/// The files of one attempt.
#[derive(Debug)]
pub(crate) struct AttemptFiles {
    stem: PathBuf,
    sources: Vec<PathBuf>,
    returned: bool,
    refused: bool,
}

// === impl Workspace ===

impl Workspace {
    /// Takes possession of the directories. Of the environment steps inherit the usual variables and
    /// those that are named.
    ///
    /// # Errors
    /// [`Error::State`] for a directory that is missing or unusable, [`Error::Locked`] when another
    /// process has the state directory.
    pub(crate) fn open(
        root: &Path,
        state: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
        named: &[String],
    ) -> Result<Self, Error> {
        let is_inherited = |name: &OsString| {
            name.to_str().is_some_and(|name| is_usual(name) || named.iter().any(|one| one == name))
        };
        let root = fs::canonicalize(root).map_err(Error::state(root))?;
        let folder = state.join("io");
        // Not the state directory itself: an engine that has removed it does not need the runner,
        // which was started before.
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::state(&folder)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let folder = fs::canonicalize(&folder).map_err(Error::state(&folder))?;
        let path = state.join("lock");
        let lock = File::create(&path).map_err(Error::state(&path))?;
        lock.try_lock().map_err(|_| Error::Locked(state.to_owned()))?;
        let files = RunFiles::open(state);
        Ok(Self {
            files,
            root,
            inherited: environment.filter(|(name, _)| is_inherited(name)).collect(),
            folder,
            events: VecDeque::new(),
            events_written: 0,
            _lock: lock,
        })
    }

    /// The folder in which the files of all attempts lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of an attempt's events.
    pub(crate) fn spill(&self, claim: &Claim) -> PathBuf {
        self.folder.join(stem(claim)).with_added_extension("events")
    }

    /// The names of an attempt's files; none is made.
    pub(crate) fn files(&self, claim: &Claim) -> AttemptFiles {
        AttemptFiles {
            stem: self.folder.join(stem(claim)),
            sources: Vec::new(),
            returned: false,
            refused: false,
        }
    }

    /// The file with this event: steps of a run share it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn event(&mut self, json: &str) -> io::Result<PathBuf> {
        if let Some((_, path)) = self.events.iter().find(|(known, _)| known == json) {
            return Ok(path.clone());
        }
        self.events_written += 1;
        let path = self.folder.join(format!("event-{}.json", self.events_written));
        write(&path, json, 0o400)?;
        self.events.push_front((json.to_owned(), path.clone()));
        if self.events.len() > KEPT_EVENTS
            && let Some((_, oldest)) = self.events.pop_back()
        {
            let _absent = fs::remove_file(oldest);
        }
        Ok(path)
    }

    /// Makes another folder the working directory of the steps.
    ///
    /// # Errors
    /// [`Error::State`] if it is missing.
    pub(crate) fn enter(&mut self, root: &Path) -> Result<(), Error> {
        self.root = fs::canonicalize(root).map_err(Error::state(root))?;
        Ok(())
    }

    /// Deletes everything in the folder of the attempts' files; `false` if something remains.
    pub(crate) fn forget_attempts(&mut self) -> bool {
        self.events.clear();
        files::empty(&self.folder, &[])
    }

    /// Deletes files of attempts that no longer exist.
    pub(crate) fn sweep(&self, held: &[Claim]) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let stems: Vec<_> = held.iter().map(stem).collect();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kept = stems.iter().any(|stem| {
                name.strip_prefix(stem.as_str()).is_some_and(|rest| rest.starts_with('.'))
            });
            if !kept {
                let _left = fs::remove_file(entry.path());
            }
        }
    }
}

// === impl AttemptFiles ===

impl AttemptFiles {
    /// `$PLUE_OUTPUT`: made by the step, if at all.
    pub(crate) fn output(&self) -> PathBuf {
        self.stem.with_added_extension("output")
    }

    /// Writes the step's source.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn source(&mut self, extension: &str, text: &str) -> io::Result<PathBuf> {
        self.write(extension, text)
    }

    /// File for the value of a called function.
    pub(crate) fn returned(&mut self) -> PathBuf {
        self.returned = true;
        self.stem.with_added_extension("returned")
    }

    /// The same, if a function was to be called.
    pub(crate) fn returned_if_called(&self) -> Option<PathBuf> {
        self.returned.then(|| self.stem.with_added_extension("returned"))
    }

    /// File for the reason for which the step's process was not started.
    pub(crate) fn refused(&mut self) -> PathBuf {
        self.refused = true;
        self.stem.with_added_extension("refused")
    }

    /// The reason for which the step's process was not started, if there is one.
    pub(crate) fn refusal(&self) -> Option<String> {
        let path = self.refused.then(|| self.stem.with_added_extension("refused"))?;
        let text = files::read(&path, MAX_REFUSAL_BYTES).ok().filter(|text| !text.is_empty())?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Deletes every file but the events.
    pub(crate) fn delete(&mut self) {
        let _absent = fs::remove_file(self.output());
        if self.returned {
            let _absent = fs::remove_file(self.stem.with_added_extension("returned"));
        }
        if self.refused {
            let _absent = fs::remove_file(self.stem.with_added_extension("refused"));
        }
        for path in self.sources.drain(..) {
            let _absent = fs::remove_file(path);
        }
    }

    fn write(&mut self, extension: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.stem.with_added_extension(extension);
        write(&path, text, 0o600)?;
        self.sources.push(path.clone());
        Ok(path)
    }
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    files::create(path, mode)?.write_all(text.as_bytes())
}

/// A file name for a claim. The fence makes it unique, although characters of the id are replaced.
fn stem(claim: &Claim) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }
    };
    let attempt: String = claim.attempt.as_str().chars().take(100).map(plain).collect();
    format!("{attempt}-{}", claim.fence.0)
}
