//! The files of the run that a runner of another machine than the engine's works for: fetched once, in
//! place whole or not at all.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use plue_plan::{RunId, budget::Budget};
use plue_runtime::foreign::archive::admit;
use plue_wire::runner::WorkspaceArchive;

use crate::{
    files,
    outputs::{ContentClient, OutputError},
};

/// The run whose files are in the workspace.
const MARKER: &str = "run";
/// Files that are being unpacked.
const DRAFT: &str = "files.new";
/// The archive that is being fetched.
const ARCHIVE: &str = "files.zst";
/// Bytes of a run id.
const MAX_RUN_BYTES: usize = 256;
/// Budget of an unpacked archive.
const UNPACKED: Budget =
    Budget { bytes: 20 * 1024 * 1024 * 1024, items: 2_000_000, steps: u64::MAX };

/// Files of one run, from their order to the workspace.
#[derive(Debug)]
pub(crate) struct RunFiles {
    state: PathBuf,
    /// The run whose files are in place.
    has: Option<RunId>,
    /// The run whose files are on their way.
    fetches: Option<RunId>,
}

/// The answer to the order of files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// They are in place.
    Ready,
    /// They are on their way; the report follows.
    Fetching,
    /// They are to be fetched.
    Fetch(WorkspaceArchive),
    /// The runner cannot have them.
    Refused(String),
}

// === impl RunFiles ===

impl RunFiles {
    pub(super) fn open(state: &Path) -> Self {
        let marker = files::read(&state.join(MARKER), MAX_RUN_BYTES).ok();
        let has = marker.and_then(|bytes| String::from_utf8(bytes).ok()).map(RunId::new);
        // Of a process that was killed.
        let _absent = fs::remove_dir_all(state.join(DRAFT));
        let _absent = fs::remove_file(state.join(ARCHIVE));
        Self { state: state.to_owned(), has, fetches: None }
    }

    /// Takes the order of a run's files.
    pub(crate) fn order(&mut self, run: &RunId, archive: Option<WorkspaceArchive>) -> Ordered {
        if self.has.as_ref() == Some(run) {
            return Ordered::Ready;
        }
        match (&self.fetches, archive) {
            (Some(fetched), _) if fetched == run => Ordered::Fetching,
            (Some(other), _) => {
                Ordered::Refused(format!("the files of run {other} are on their way"))
            }
            (None, None) => Ordered::Refused(format!("the runner has lost the files of run {run}")),
            (None, Some(archive)) => {
                self.fetches = Some(run.clone());
                Ordered::Fetch(archive)
            }
        }
    }

    /// The work of a thread: fetches and unpacks the archive next to the workspace.
    pub(crate) fn fetch(
        &self,
        archive: WorkspaceArchive,
        client: &ContentClient,
    ) -> impl FnOnce() -> Result<(), String> + use<> {
        let (path, draft, client) =
            (self.state.join(ARCHIVE), self.state.join(DRAFT), client.clone());
        move || {
            let fetched = fetch(&path, archive, &client).and_then(|()| unpack(&path, &draft));
            let _left = fs::remove_file(&path);
            fetched
        }
    }

    /// Puts fetched files into the place of `root`, which nothing uses.
    ///
    /// # Errors
    /// They cannot be moved there.
    pub(crate) fn publish(&mut self, run: RunId, root: &Path) -> io::Result<()> {
        self.fetches = None;
        let marker = self.state.join(MARKER);
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.has = None;
        fs::remove_dir_all(root)?;
        fs::rename(self.state.join(DRAFT), root)?;
        let draft = marker.with_extension("new");
        fs::write(&draft, run.as_str())?;
        fs::rename(draft, marker)?;
        self.has = Some(run);
        Ok(())
    }

    /// Forgets an order that failed.
    pub(crate) fn give_up(&mut self) {
        self.fetches = None;
        let _absent = fs::remove_dir_all(self.state.join(DRAFT));
    }
}

/// Removes the files of the last run, before the runner is free for another.
///
/// # Errors
/// A file cannot be removed: the runner must not serve another run.
pub(crate) fn wipe(state: &Path, root: &Path) -> io::Result<()> {
    match fs::remove_file(state.join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::remove_dir_all(root)?;
    fs::create_dir(root)
}

fn fetch(path: &Path, archive: WorkspaceArchive, client: &ContentClient) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut file = files::create(path, 0o600).map_err(failed)?;
    let bytes = client.get(archive.blob, &mut Bounded { to: &mut file, left: archive.bytes });
    match bytes {
        Ok(bytes) if bytes == archive.bytes => file.sync_all().map_err(failed),
        Ok(bytes) => Err(format!("the archive has {bytes} bytes and not {}", archive.bytes)),
        Err(OutputError::Message(why)) => Err(why),
        Err(OutputError::DispatcherGone) => Err("the runner ends".to_owned()),
    }
}

fn unpack(path: &Path, draft: &Path) -> Result<(), String> {
    let unpacked = || -> io::Result<()> {
        admit(zstd::Decoder::new(files::open(path)?)?, UNPACKED)?;
        match fs::remove_dir_all(draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir(draft)?;
        let limited = zstd::Decoder::new(files::open(path)?)?.take(UNPACKED.bytes);
        let mut archive = tar::Archive::new(limited);
        archive.set_preserve_mtime(false);
        archive.set_preserve_permissions(true);
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.unpack_in(draft)? {
                let outside = entry.path()?.display().to_string();
                return Err(io::Error::other(format!("{outside:?} leads outside")));
            }
        }
        Ok(())
    };
    unpacked().map_err(|error| format!("the archive cannot be unpacked: {error}"))
}

/// Refuses bytes beyond a limit.
struct Bounded<'a> {
    to: &'a mut fs::File,
    left: u64,
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = bytes.len() as u64;
        self.left = self
            .left
            .checked_sub(wanted)
            .ok_or_else(|| io::Error::other("the archive is longer than was announced"))?;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use plue_wire::outputs::BlobHash;

    use super::*;

    const ARCHIVED: WorkspaceArchive = WorkspaceArchive { blob: BlobHash([1; 32]), bytes: 9 };

    #[test]
    fn files_are_fetched_once() {
        let state = tempfile::tempdir().unwrap();
        let root = state.path().join("work");
        fs::create_dir(&root).unwrap();
        let (a, b) = (RunId::new("a"), RunId::new("b"));
        let mut run_files = RunFiles::open(state.path());
        assert_eq!(run_files.order(&a, Some(ARCHIVED)), Ordered::Fetch(ARCHIVED));
        assert_eq!(run_files.order(&a, Some(ARCHIVED)), Ordered::Fetching);
        assert!(matches!(run_files.order(&b, Some(ARCHIVED)), Ordered::Refused(_)));
        fs::create_dir(state.path().join(DRAFT)).unwrap();
        fs::write(state.path().join(DRAFT).join("x"), "x").unwrap();
        run_files.publish(a.clone(), &root).unwrap();
        assert_eq!(fs::read_to_string(root.join("x")).unwrap(), "x");
        // The next process on the same directory.
        let mut again = RunFiles::open(state.path());
        assert_eq!(again.order(&a, None), Ordered::Ready);
        assert_eq!(again.order(&b, Some(ARCHIVED)), Ordered::Fetch(ARCHIVED));
        wipe(state.path(), &root).unwrap();
        let mut wiped = RunFiles::open(state.path());
        assert!(matches!(wiped.order(&a, None), Ordered::Refused(_)));
        assert!(!root.join("x").exists());
    }

    #[test]
    fn longer_archives_are_refused() {
        let state = tempfile::tempdir().unwrap();
        let mut file = fs::File::create(state.path().join("f")).unwrap();
        let mut bounded = Bounded { to: &mut file, left: 3 };
        assert!(io::Write::write_all(&mut bounded, b"abc").is_ok());
        assert!(io::Write::write_all(&mut bounded, b"d").is_err());
    }
}
