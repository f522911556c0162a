//! The files of a run on this machine: unpacked from the mirror, or from the archive that the engine which
//! made the run has put on the shelf, with what the run's steps have changed since.
//!
//! Must not let a run go on with other files than those that it had.

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
use plue_wire::keep::BlobHash;
use serde::Deserialize as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    checkouts::{self, Source},
    error::Error,
    known::MAX_PACKED_BYTES,
    server::Server,
};

/// Bytes in memory.
const PART: usize = 1024 * 1024;
/// Fast enough, and small.
const LEVEL: i32 = 3;

impl Server {
    /// The files of a commit in a folder of their own. Another engine may do the same at the same time:
    /// the folder is there as a whole or not at all. Gives the blob with the archive, if engines of other
    /// machines are to have it.
    pub(crate) async fn unpack(
        &self,
        source: Source<'_>,
        target: &Path,
    ) -> Result<Option<BlobHash>, Error> {
        let draft = self.draft(target).await?;
        let git_dir = draft.with_added_extension("git");
        let files = async {
            let packed = self.packed(source.mirror, source.commit, &draft).await?;
            let blob = match self.parts().options.share_files {
                true => Some(self.put_file(&packed, &draft).await?),
                false => None,
            };
            self.unpacked(packed, &draft).await?;
            Ok(blob)
        };
        let made = async {
            let (blob, ()) = tokio::try_join!(files, self.git_dir(&source, &git_dir))?;
            self.put_git_dir(git_dir.clone(), &draft).await?;
            Box::pin(self.populate(&source, &draft)).await?;
            Ok(blob)
        };
        self.settled(made.await, draft, target).await
    }

    async fn put_git_dir(&self, git_dir: PathBuf, draft: &Path) -> Result<(), Error> {
        let whole = draft.to_owned();
        let put = self.parts().tasks.spawn_blocking(move || checkouts::put(&git_dir, &whole));
        put.await.map_err(|_| Error::Stopped)?.map_err(failed(draft))
    }

    /// Writes down where the files of a run are, once there is such a run.
    pub(crate) async fn keep_files(
        &self,
        run: &RunId,
        kept: Option<BlobHash>,
    ) -> Result<(), Error> {
        match kept {
            Some(blob) => Ok(self.store().keep_run_workspace(run, &self.machine()?, &blob).await?),
            None => Ok(()),
        }
    }

    /// A name for this machine, or rather for its state directory: who has the same has the same files.
    fn machine(&self) -> Result<String, Error> {
        let path = self.parts().options.state_dir.join("machine");
        let made = std::fs::read_to_string(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            let name = self.parts().ids.text();
            let draft = path.with_extension(&name);
            std::fs::write(&draft, &name)?;
            // Of several engines that begin at once one makes it, whole.
            let _another_was_faster = std::fs::hard_link(&draft, &path);
            std::fs::remove_file(&draft)?;
            std::fs::read_to_string(&path)
        });
        Ok(made.map_err(failed(&path))?.trim().to_owned())
    }

    /// Whether the workspace that is here is the one that the run's steps work on, and not what was left
    /// of it when another machine went on.
    async fn is_here(&self, workspace: &Path) -> Result<bool, Error> {
        if !workspace.exists() || !self.parts().options.share_files {
            return Ok(workspace.exists());
        }
        // That of a child run is its parent's.
        let owner = RunId::new(workspace.file_name().unwrap_or_default().to_string_lossy());
        let known = self.store().run_workspace(&owner).await?;
        let machine = self.machine()?;
        Ok(known.is_none_or(|known| known.holder == machine))
    }

    /// Sees to it that the files of a run are on this machine: those that it began with, and if it has
    /// begun what its steps made of them, as far as checkpoints tell. Another engine may take the run
    /// meanwhile, also one that works in the same folder: then nothing is written down, and as far as
    /// that is known in time, nothing that lies there is touched.
    ///
    /// # Errors
    /// They are elsewhere, or the run is another engine's now.
    pub(crate) async fn place(&self, taken: &Taken) -> Result<(), Error> {
        let row = &taken.row;
        let loaded = Loaded::read(self.store(), &row.id).await?;
        let folder = self.folder("workspaces")?;
        let workspace = relocated(&loaded.origin.workspace, Some(&folder));
        if self.is_here(&workspace).await? {
            return Ok(());
        }
        let has_begun = self.has_begun(row).await?;
        let has_children =
            loaded.plan.steps.iter().any(|step| matches!(step.action, Action::Workflow(_)));
        // Runs that share a workspace change the same files; a person's own tree is no commit.
        let is_known = !has_children && workspace.parent() == Some(folder.as_path());
        if loaded.origin.parent.is_some() || (has_begun && !is_known) {
            return Err(elsewhere(&workspace));
        }
        let draft = self.draft(&workspace).await?;
        let old = draft.with_added_extension("old");
        let made = async {
            self.made_again(&loaded, has_begun, (&draft, &workspace)).await?;
            if !self.parts().engine.holds(taken).await? {
                return Err(superseded(row));
            }
            // Left over from before another machine went on. Out of the way at once, so that nobody
            // ever sees a part of it.
            match tokio::fs::rename(&workspace, &old).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed(&workspace)(error))
                }
                Ok(()) | Err(_) => Ok(()),
            }
        };
        let settled = self.settled(made.await, draft, &workspace).await;
        // Else it goes with what is left of other drafts.
        let _may_never_have_been = tokio::fs::remove_dir_all(&old).await;
        settled?;
        if let (true, Some(drive)) = (self.parts().options.share_files, taken.drive())
            && !self.store().hold_run_workspace(drive, &self.machine()?).await?
        {
            return Err(superseded(row));
        }
        Ok(())
    }

    /// Makes the workspace of a run without a driver again.
    pub(crate) async fn make_again(&self, loaded: &Loaded, workspace: &Path) -> Result<(), Error> {
        let has_begun = self.has_begun(&loaded.row).await?;
        let draft = self.draft(workspace).await?;
        let made = self.made_again(loaded, has_begun, (&draft, workspace)).await;
        self.settled(made, draft, workspace).await
    }

    /// Whether a step of a run was started, so that its files may have changed.
    async fn has_begun(&self, row: &RunRow) -> Result<bool, Error> {
        let attempts = self.store().attempts(&row.id, None).await?;
        Ok(attempts.iter().any(|attempt| attempt.started_at.is_some()))
    }

    /// The files of a run in a draft of its workspace.
    async fn made_again(
        &self,
        loaded: &Loaded,
        has_begun: bool,
        (draft, workspace): (&Path, &Path),
    ) -> Result<(), Error> {
        let (row, elsewhere) = (&loaded.row, || elsewhere(workspace));
        let (Some(repo), Some(sha)) = (&row.repo, &row.sha) else {
            return Err(elsewhere());
        };
        let repo = self.store().repo(repo).await?.ok_or_else(elsewhere)?;
        let (mirror, commit) = self.mirror_with(&repo, sha).await?;
        let known = self.store().run_workspace(&row.id).await?;
        let packed = match known.and_then(|known| known.archive) {
            Some(blob) => self.get_file(&blob, draft).await?,
            None => self.packed(&mirror, &commit, draft).await?,
        };
        self.unpacked(packed, draft).await?;
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
        self.git_dir(&source, &git_dir).await?;
        self.put_git_dir(git_dir, draft).await?;
        Box::pin(self.populate(&source, draft)).await?;
        if has_begun && !self.parts().engine.rebuild(&row.id, draft).await? {
            return Err(elsewhere());
        }
        if has_begun {
            tracing::info!(run = %row.id, "its files were made again from its checkpoints");
        }
        Ok(())
    }

    /// A name beside a folder.
    async fn draft(&self, target: &Path) -> Result<PathBuf, Error> {
        let folder = target.parent().unwrap_or(target);
        tokio::fs::create_dir_all(folder).await.map_err(failed(folder))?;
        Ok(PathBuf::from(format!("{}.{}", target.display(), self.parts().ids.text())))
    }

    /// Puts a finished draft into its place, and removes one that is of no use.
    async fn settled<T>(
        &self,
        made: Result<T, Error>,
        draft: PathBuf,
        target: &Path,
    ) -> Result<T, Error> {
        for name in ["tar", "zst"] {
            let _may_never_have_been =
                tokio::fs::remove_file(draft.with_added_extension(name)).await;
        }
        let git_dir = draft.with_added_extension("git");
        let _is_in_its_place = tokio::fs::remove_dir_all(git_dir).await;
        let renamed = match &made {
            Ok(_) => tokio::fs::rename(&draft, target).await,
            Err(_) => Err(io::ErrorKind::Other.into()),
        };
        if renamed.is_err() {
            let _is_of_no_use = tokio::fs::remove_dir_all(&draft).await;
        }
        let made = made?;
        // One that is there is complete, and of this commit: a run has but one.
        if target.exists() { Ok(made) } else { renamed.map(|()| made).map_err(failed(target)) }
    }

    /// The files of a commit as tar; a small one is remembered.
    async fn packed(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        draft: &Path,
    ) -> Result<Packed, Error> {
        if let Some(bytes) = self.known().packed(mirror.folder(), commit) {
            return Ok(Packed::Here(bytes));
        }
        let path = draft.with_added_extension("tar");
        let failed = |source| Error::Folder { path: path.display().to_string(), source };
        let mut archive = mirror.archive(commit, None).await?;
        let mut small = Vec::new();
        let read = (&mut archive).take(MAX_PACKED_BYTES).read_to_end(&mut small).await;
        if (read.map_err(failed)? as u64) < MAX_PACKED_BYTES {
            archive.finish().await?;
            let small: Arc<[u8]> = small.into();
            self.known().put_packed(mirror.folder(), commit, Arc::clone(&small));
            return Ok(Packed::Here(small));
        }
        let mut file = tokio::fs::File::create(&path).await.map_err(failed)?;
        file.write_all(&small).await.map_err(failed)?;
        tokio::io::copy(&mut archive, &mut file).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
        archive.finish().await?;
        Ok(Packed::There(path))
    }

    async fn unpacked(&self, packed: Packed, draft: &Path) -> Result<(), Error> {
        let whole = draft.to_owned();
        let unpacked = self.parts().tasks.spawn_blocking(move || packed.unpack(&whole));
        unpacked.await.map_err(|_| Error::Stopped)?.map_err(failed(draft))
    }

    /// Puts an archive on the shelf. The same commit is there once.
    async fn put_file(&self, packed: &Packed, draft: &Path) -> Result<BlobHash, Error> {
        let small = draft.with_added_extension("zst");
        let (from, to) = (packed.clone(), small.clone());
        let work =
            move || zstd::stream::copy_encode(from.open()?, std::fs::File::create(to)?, LEVEL);
        let encoded = self.parts().tasks.spawn_blocking(work);
        encoded.await.map_err(|_| Error::Stopped)?.map_err(failed(&small))?;
        let mut file = tokio::fs::File::open(&small).await.map_err(failed(&small))?;
        let mut writer = self.store().blob_writer();
        let mut part = vec![0; PART];
        loop {
            let read = file.read(&mut part).await.map_err(failed(&small))?;
            let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            writer.write(bytes).await?;
        }
        Ok(writer.finish().await?.0)
    }

    /// An archive from the shelf in a file.
    async fn get_file(&self, blob: &BlobHash, draft: &Path) -> Result<Packed, Error> {
        let path = draft.with_added_extension("zst");
        let gone = || Error::NotFound(format!("the archive {blob} is gone"));
        let mut reader = self.store().blob_reader(blob).await?.ok_or_else(gone)?;
        let mut file = tokio::fs::File::create(&path).await.map_err(failed(&path))?;
        while let Some(part) = reader.next(PART).await? {
            file.write_all(&part).await.map_err(failed(&path))?;
        }
        file.flush().await.map_err(failed(&path))?;
        Ok(Packed::Small(path))
    }
}

/// The most that the files of a checkpoint may be.
const UNPACKED: Budget =
    Budget { bytes: 20 * 1024 * 1024 * 1024, items: 2_000_000, steps: u64::MAX };

/// A tar stream.
#[derive(Clone)]
pub(crate) enum Packed {
    /// In memory.
    Here(Arc<[u8]>),
    /// In a file beside the draft.
    There(PathBuf),
    /// In such a file, compressed.
    Small(PathBuf),
}

// === impl Packed ===

impl Packed {
    fn open(&self) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(match self {
            Self::Here(bytes) => Box::new(&**bytes),
            Self::There(path) => Box::new(io::BufReader::new(std::fs::File::open(path)?)),
            Self::Small(path) => Box::new(zstd::Decoder::new(std::fs::File::open(path)?)?),
        })
    }

    /// Unpacks within a folder: entries that would lie outside, also through links, are errors.
    pub(crate) fn unpack(&self, target: &Path) -> io::Result<()> {
        match self {
            // Git's own, of a commit whose files were counted.
            Self::Here(_) | Self::There(_) => {}
            Self::Small(_) => admit(self.open()?, UNPACKED)?,
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
