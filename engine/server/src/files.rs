//! The files of a run on this machine: unpacked from the mirror or from the archive in the blob store, and
//! brought up to date from the checkpoints of its steps.
//!
//! Must not continue a run with files that differ from those it had.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plue_executor::{Loaded, Taken, relocated};
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{Action, Event, RunId, budget::Budget};
use plue_runtime::foreign::archive::admit;
use plue_store::RunRow;
use plue_wire::outputs::BlobHash;
use serde::Deserialize as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    checkouts::{self, Checkouts, Source},
    commit_cache::MAX_PACKED_BYTES,
    error::Error,
    workspaces::Workspaces,
};

/// Bytes of one read from or write to the blob store.
const PART: usize = 1024 * 1024;
/// Zstandard level of archives, chosen for speed.
const LEVEL: i32 = 3;

// === impl Workspaces ===

impl Workspaces {
    /// Unpacks the files of a commit into `target`, which appears whole or not at all: another engine may
    /// do the same concurrently. Returns the archive's blob if files are shared with other machines.
    pub(crate) async fn unpack(
        &self,
        source: Source<'_>,
        target: &Path,
    ) -> Result<Option<BlobHash>, Error> {
        let draft = self.draft(target).await?;
        let git_dir = draft.with_added_extension("git");
        let files = async {
            let packed = self.pack(source.mirror, source.commit, &draft).await?;
            let blob = match self.share_files {
                true => Some(self.upload_archive(&packed, &draft).await?),
                false => None,
            };
            self.unpack_archive(packed, &draft).await?;
            Ok(blob)
        };
        let checkouts = self.checkouts();
        let made = async {
            let (blob, ()) = tokio::try_join!(files, checkouts.git_dir(&source, &git_dir))?;
            self.put_git_dir(git_dir.clone(), &draft).await?;
            Box::pin(self.populate(&source, &draft)).await?;
            Ok(blob)
        };
        self.publish(made.await, draft, target).await
    }

    fn checkouts(&self) -> Checkouts<'_> {
        let Self { mirrors, commits, process, .. } = self;
        Checkouts { mirrors, commits, tasks: &process.tasks }
    }

    async fn put_git_dir(&self, git_dir: PathBuf, draft: &Path) -> Result<(), Error> {
        let whole = draft.to_owned();
        let put = self.process.tasks.spawn_blocking(move || checkouts::put(&git_dir, &whole));
        put.await.map_err(|_| Error::Stopped)?.map_err(failed(draft))
    }

    /// Records the archive and the machine of a stored run's workspace.
    pub(crate) async fn record_archive(
        &self,
        run: &RunId,
        archive: Option<BlobHash>,
    ) -> Result<(), Error> {
        match archive {
            Some(blob) => Ok(self.store.run_files().put(run, &self.machine()?, &blob).await?),
            None => Ok(()),
        }
    }

    /// The random name of this state directory; engines that share it share its files.
    fn machine(&self) -> Result<String, Error> {
        let path = self.state.path().join("machine");
        let made = std::fs::read_to_string(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            let name = self.process.ids.text();
            let draft = path.with_extension(&name);
            std::fs::write(&draft, &name)?;
            // The hard link is atomic: of several engines that start at once, one creates the file.
            let _lost_the_race = std::fs::hard_link(&draft, &path);
            std::fs::remove_file(&draft)?;
            std::fs::read_to_string(&path)
        });
        Ok(made.map_err(failed(&path))?.trim().to_owned())
    }

    /// Whether the local workspace is current, and not a leftover from before another machine took the run
    /// over.
    async fn is_current(&self, workspace: &Path) -> Result<bool, Error> {
        if !workspace.exists() || !self.share_files {
            return Ok(workspace.exists());
        }
        // A child run works in the workspace of its parent.
        let owner = RunId::new(workspace.file_name().unwrap_or_default().to_string_lossy());
        let recorded = self.store.run_files().get(&owner).await?;
        let machine = self.machine()?;
        Ok(recorded.is_none_or(|recorded| recorded.holder == machine))
    }

    /// Brings the files of a run to this machine: the original ones, and for a started run the state of its
    /// checkpoints. If another engine takes the run over meanwhile, nothing is recorded, and existing
    /// files stay untouched as far as the loss is noticed in time.
    ///
    /// # Errors
    /// The files cannot be restored here, or the run belongs to another engine now.
    pub(crate) async fn prepare(&self, taken: &Taken) -> Result<(), Error> {
        let row = &taken.row;
        let loaded = Loaded::read(&self.store, &row.id).await?;
        let folder = self.state.folder("workspaces")?;
        let workspace = relocated(&loaded.origin.workspace, Some(&folder));
        if self.is_current(&workspace).await? {
            return Ok(());
        }
        let has_started = self.has_started(row).await?;
        let has_children =
            loaded.plan.steps.iter().any(|step| matches!(step.action, Action::Workflow(_)));
        // Child runs change the same files, and a local working tree is no commit: neither has checkpoints.
        let is_restorable = !has_children && workspace.parent() == Some(folder.as_path());
        if loaded.origin.parent.is_some() || (has_started && !is_restorable) {
            return Err(elsewhere(&workspace));
        }
        let draft = self.draft(&workspace).await?;
        let old = draft.with_added_extension("old");
        let made = async {
            self.restore_draft(&loaded, has_started, (&draft, &workspace)).await?;
            if !self.engine.holds(taken).await? {
                return Err(superseded(row));
            }
            // A leftover from before another machine took the run over. One rename removes it, so that no
            // reader sees a part of it.
            match tokio::fs::rename(&workspace, &old).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed(&workspace)(error))
                }
                Ok(()) | Err(_) => Ok(()),
            }
        };
        let published = self.publish(made.await, draft, &workspace).await;
        // If this fails, housekeeping removes it with other old drafts.
        let _may_not_exist = tokio::fs::remove_dir_all(&old).await;
        published?;
        if let (true, Some(drive)) = (self.share_files, taken.drive())
            && !self.store.run_files().take_over(drive, &self.machine()?).await?
        {
            return Err(superseded(row));
        }
        Ok(())
    }

    /// Restores the workspace of a run that has no driver.
    pub(crate) async fn restore(&self, loaded: &Loaded, workspace: &Path) -> Result<(), Error> {
        let has_started = self.has_started(&loaded.row).await?;
        let draft = self.draft(workspace).await?;
        let made = self.restore_draft(loaded, has_started, (&draft, workspace)).await;
        self.publish(made, draft, workspace).await
    }

    /// Whether a step of a run has started, so that its files may have changed.
    async fn has_started(&self, row: &RunRow) -> Result<bool, Error> {
        let attempts = self.store.attempts().list(&row.id, None).await?;
        Ok(attempts.iter().any(|attempt| attempt.started_at.is_some()))
    }

    /// Restores the files of a run in a draft of its workspace.
    async fn restore_draft(
        &self,
        loaded: &Loaded,
        has_started: bool,
        (draft, workspace): (&Path, &Path),
    ) -> Result<(), Error> {
        let (row, elsewhere) = (&loaded.row, || elsewhere(workspace));
        let (Some(repo), Some(sha)) = (&row.repo, &row.sha) else {
            return Err(elsewhere());
        };
        let repo = self.store.repos().get(repo).await?.ok_or_else(elsewhere)?;
        let (mirror, commit) = self.mirrors.mirror_with(&repo, sha).await?;
        let recorded = self.store.run_files().get(&row.id).await?;
        let packed = match recorded.and_then(|recorded| recorded.archive) {
            Some(blob) => self.download_archive(&blob, draft).await?,
            None => self.pack(&mirror, &commit, draft).await?,
        };
        self.unpack_archive(packed, draft).await?;
        let event = Event::deserialize(&loaded.source.event).map_err(|_| elsewhere())?;
        let git_dir = draft.with_added_extension("git");
        let asked = &loaded.plan.widest_checkout();
        let is_trusted = !loaded.origin.is_from_fork(&event);
        let source = Source {
            repo: &repo,
            mirror: &mirror,
            commit: &commit,
            event: &event,
            asked,
            is_trusted,
        };
        self.checkouts().git_dir(&source, &git_dir).await?;
        self.put_git_dir(git_dir, draft).await?;
        Box::pin(self.populate(&source, draft)).await?;
        if has_started && !self.engine.rebuild(&row.id, draft).await? {
            return Err(elsewhere());
        }
        if has_started {
            tracing::info!(run = %row.id, "restored the files of a run from its checkpoints");
        }
        Ok(())
    }

    /// An unused path next to `target`, whose parent is created.
    async fn draft(&self, target: &Path) -> Result<PathBuf, Error> {
        let folder = target.parent().unwrap_or(target);
        tokio::fs::create_dir_all(folder).await.map_err(failed(folder))?;
        Ok(PathBuf::from(format!("{}.{}", target.display(), self.process.ids.text())))
    }

    /// Renames a finished draft to `target`, and removes an unfinished one.
    async fn publish<T>(
        &self,
        made: Result<T, Error>,
        draft: PathBuf,
        target: &Path,
    ) -> Result<T, Error> {
        for name in ["tar", "zst"] {
            let _may_not_exist = tokio::fs::remove_file(draft.with_added_extension(name)).await;
        }
        let git_dir = draft.with_added_extension("git");
        let _was_moved = tokio::fs::remove_dir_all(git_dir).await;
        let renamed = match &made {
            Ok(_) => tokio::fs::rename(&draft, target).await,
            Err(_) => Err(io::ErrorKind::Other.into()),
        };
        if renamed.is_err() {
            let _is_unused = tokio::fs::remove_dir_all(&draft).await;
        }
        let made = made?;
        // An existing target is complete and of the same commit: a run has only one.
        if target.exists() { Ok(made) } else { renamed.map(|()| made).map_err(failed(target)) }
    }

    /// The files of a commit as a tar archive; small ones are cached.
    async fn pack(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        draft: &Path,
    ) -> Result<Packed, Error> {
        if let Some(bytes) = self.commits.packed(mirror.folder(), commit) {
            return Ok(Packed::Memory(bytes));
        }
        let path = draft.with_added_extension("tar");
        let failed = |source| Error::Folder { path: path.display().to_string(), source };
        let mut archive = mirror.archive(commit, None).await?;
        let mut small = Vec::new();
        let read = (&mut archive).take(MAX_PACKED_BYTES).read_to_end(&mut small).await;
        if (read.map_err(failed)? as u64) < MAX_PACKED_BYTES {
            archive.finish().await?;
            let small: Arc<[u8]> = small.into();
            self.commits.put_packed(mirror.folder(), commit, Arc::clone(&small));
            return Ok(Packed::Memory(small));
        }
        let mut file = tokio::fs::File::create(&path).await.map_err(failed)?;
        file.write_all(&small).await.map_err(failed)?;
        tokio::io::copy(&mut archive, &mut file).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
        archive.finish().await?;
        Ok(Packed::File(path))
    }

    async fn unpack_archive(&self, packed: Packed, draft: &Path) -> Result<(), Error> {
        let whole = draft.to_owned();
        let unpacked = self.process.tasks.spawn_blocking(move || packed.unpack(&whole));
        unpacked.await.map_err(|_| Error::Stopped)?.map_err(failed(draft))
    }

    /// Stores an archive as a blob; blobs are content-addressed, so a commit is stored once.
    async fn upload_archive(&self, packed: &Packed, draft: &Path) -> Result<BlobHash, Error> {
        let small = draft.with_added_extension("zst");
        let (from, to) = (packed.clone(), small.clone());
        let work =
            move || zstd::stream::copy_encode(from.open()?, std::fs::File::create(to)?, LEVEL);
        let encoded = self.process.tasks.spawn_blocking(work);
        encoded.await.map_err(|_| Error::Stopped)?.map_err(failed(&small))?;
        let mut file = tokio::fs::File::open(&small).await.map_err(failed(&small))?;
        let mut writer = self.store.blobs().writer();
        let mut part = vec![0; PART];
        loop {
            let read = file.read(&mut part).await.map_err(failed(&small))?;
            let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            writer.write(bytes).await?;
        }
        Ok(writer.finish().await?.0)
    }

    /// Copies an archive from the blob store into a file.
    async fn download_archive(&self, blob: &BlobHash, draft: &Path) -> Result<Packed, Error> {
        let path = draft.with_added_extension("zst");
        let gone = || Error::NotFound(format!("the archive {blob} is gone"));
        let mut reader = self.store.blobs().reader(blob).await?.ok_or_else(gone)?;
        let mut file = tokio::fs::File::create(&path).await.map_err(failed(&path))?;
        while let Some(part) = reader.next(PART).await? {
            file.write_all(&part).await.map_err(failed(&path))?;
        }
        file.flush().await.map_err(failed(&path))?;
        Ok(Packed::Compressed(path))
    }
}

/// Budget of an unpacked archive from the blob store.
const UNPACKED: Budget =
    Budget { bytes: 20 * 1024 * 1024 * 1024, items: 2_000_000, steps: u64::MAX };

/// Files as a tar stream, by its storage.
#[derive(Clone)]
pub(crate) enum Packed {
    Memory(Arc<[u8]>),
    /// Uncompressed, in a file next to the draft.
    File(PathBuf),
    /// Compressed with Zstandard, in a file next to the draft.
    Compressed(PathBuf),
}

// === impl Packed ===

impl Packed {
    fn open(&self) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(match self {
            Self::Memory(bytes) => Box::new(&**bytes),
            Self::File(path) => Box::new(io::BufReader::new(std::fs::File::open(path)?)),
            Self::Compressed(path) => Box::new(zstd::Decoder::new(std::fs::File::open(path)?)?),
        })
    }

    /// Unpacks into a folder; an entry that leads outside of it, also through links, is an error.
    pub(crate) fn unpack(&self, target: &Path) -> io::Result<()> {
        match self {
            // Written by git, from a commit whose files were counted.
            Self::Memory(_) | Self::File(_) => {}
            Self::Compressed(_) => admit(self.open()?, UNPACKED)?,
        }
        std::fs::create_dir_all(target)?;
        let mut archive = tar::Archive::new(self.open()?);
        archive.set_preserve_mtime(false);
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.unpack_in(target)? {
                let path = entry.path()?.display().to_string();
                return Err(io::Error::other(format!("{path:?} leads outside")));
            }
        }
        Ok(())
    }
}

fn elsewhere(workspace: &Path) -> Error {
    let path = workspace.display();
    Error::NotFound(format!(
        "{path} is not on this machine, and it cannot be made again from checkpoints"
    ))
}

fn superseded(row: &RunRow) -> Error {
    plue_executor::Error::Superseded { run: row.id.clone() }.into()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |source| Error::Folder { path, source }
}
