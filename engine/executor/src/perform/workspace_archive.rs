//! The files of a run as a blob, for a runner of another machine: those that the server prepared, with the
//! changes of the steps that have ended.
//!
//! Must not send files that differ from those that the run had.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use plue_flow::AttemptStatus;
use plue_plan::RunId;
use plue_wire::runner::WorkspaceArchive;
use tokio::io::AsyncReadExt as _;

use super::checkpoint;
use crate::{engine::Shared, error::Error, loaded::Origin};

/// Bytes of one write to the blob store.
const PART: usize = 1024 * 1024;
/// Zstandard level, chosen for speed.
const LEVEL: i32 = 3;

/// The outcome of packing.
pub(crate) enum Files {
    /// The archive, in the blob store.
    Packed(WorkspaceArchive),
    /// The changes of the run's steps are unknown; the reason, for people.
    Unknown(String),
}

/// Packs the files of a run.
///
/// # Errors
/// [`Error::Store`]; a file cannot be read or written.
pub(crate) async fn pack(shared: &Shared, run: &RunId, origin: &Origin) -> Result<Files, Error> {
    let attempts = shared.store.attempts().list(run, None).await?;
    let has_changes =
        attempts.iter().any(|row| row.state == AttemptStatus::Done && row.started_at.is_some());
    let draft = Draft::new(&origin.workspace, &shared.ids.text());
    if !has_changes {
        return upload(shared, origin.workspace.clone(), &draft).await.map(Files::Packed);
    }
    let (from, copy) = (origin.workspace.clone(), draft.folder.clone());
    on_disk(shared, &draft.folder, move || copy_tree(&from, &copy)).await?;
    if !checkpoint::rebuild(&shared.store, run, &draft.folder).await? {
        let why = "the changes of earlier steps are on a runner that is gone, and were not stored: \
                   the tree is too large for checkpoints, or they are off";
        return Ok(Files::Unknown(why.to_owned()));
    }
    upload(shared, draft.folder.clone(), &draft).await.map(Files::Packed)
}

/// Files next to a workspace that are removed with it: housekeeping knows them by their name.
struct Draft {
    folder: PathBuf,
    archive: PathBuf,
}

// === impl Draft ===

impl Draft {
    fn new(workspace: &Path, name: &str) -> Self {
        let folder = workspace.with_added_extension(name);
        Self { archive: folder.with_added_extension("zst"), folder }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _absent = std::fs::remove_dir_all(&self.folder);
        let _absent = std::fs::remove_file(&self.archive);
    }
}

async fn upload(
    shared: &Shared,
    folder: PathBuf,
    draft: &Draft,
) -> Result<WorkspaceArchive, Error> {
    let path = draft.archive.clone();
    let failed = |source| Error::State { path: path.clone(), source };
    let to = path.clone();
    on_disk(shared, &path, move || {
        let mut encoder = zstd::stream::Encoder::new(File::create(to)?, LEVEL)?;
        write_tree(&folder, &mut encoder)?;
        encoder.finish()?.sync_all()
    })
    .await?;
    let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
    let mut writer = shared.store.blobs().writer();
    let mut part = vec![0; PART];
    loop {
        let read = file.read(&mut part).await.map_err(failed)?;
        let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        writer.write(bytes).await?;
    }
    let bytes = writer.size();
    let (blob, _) = writer.finish().await?;
    Ok(WorkspaceArchive { blob, bytes })
}

async fn on_disk(
    shared: &Shared,
    path: &Path,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), Error> {
    let failed = |source| Error::State { path: path.to_owned(), source };
    let done = shared.tasks.spawn_blocking(work).await;
    done.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

/// Writes a folder as a tar archive: the same files give the same bytes. Sockets, pipes and devices are left
/// out.
fn write_tree(folder: &Path, to: impl io::Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    archive.mode(tar::HeaderMode::Deterministic);
    archive.follow_symlinks(false);
    // Holes are written out: what unpacks the archive admits no sparse files.
    archive.sparse(false);
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(folder.join(&inside))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (kind, name) = (entry.file_type()?, inside.join(entry.file_name()));
            if kind.is_dir() {
                archive.append_dir(&name, entry.path())?;
                folders.push(name);
            } else if kind.is_file() || kind.is_symlink() {
                archive.append_path_with_name(entry.path(), &name)?;
            }
        }
    }
    archive.finish()
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                std::fs::create_dir(&target)?;
                folders.push((entry.path(), target));
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
            } else if kind.is_file() {
                std::fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_files_give_same_bytes() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        std::fs::create_dir_all(one.join("src/deep")).unwrap();
        std::fs::write(one.join("src/deep/a"), "a").unwrap();
        std::fs::write(one.join("b"), "b").unwrap();
        std::os::unix::fs::symlink("src", one.join("link")).unwrap();
        copy_tree(&one, &two).unwrap();
        let packed = |folder: &Path| {
            let mut bytes = Vec::new();
            write_tree(folder, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(packed(&one), packed(&two));
        let back = root.path().join("back");
        tar::Archive::new(&*packed(&one)).unpack(&back).unwrap();
        assert_eq!(std::fs::read_to_string(back.join("link/deep/a")).unwrap(), "a");
        std::fs::write(two.join("b"), "c").unwrap();
        assert_ne!(packed(&one), packed(&two));
    }
}
