//! A folder as a blob store: `aa/bb/<hash>.<number>`, written to `new/`, synced, renamed.
//!
//! The number makes every file unique: a collection removes the very file that its row named, never
//! one that was put there since. Must not overwrite anything.

use std::{
    fs,
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use plue_runtime::{Clock, Ids, Tasks};

use super::blob_store::{BlobFuture, BlobStore, Draft};

/// Drafts lie here until they are whole.
const NEW: &str = "new";

#[derive(Debug, Clone)]
pub struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    ids: Ids,
    clock: Clock,
    tasks: Tasks,
}

#[derive(Debug)]
struct FileDraft {
    folder: Folder,
    path: PathBuf,
    /// Absent while a thread writes to it.
    file: Option<fs::File>,
    is_finished: bool,
}

// === impl Folder ===

impl Folder {
    /// A blob store in this folder, which is made when it is needed.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        let (ids, clock, tasks) = (Ids::random(), Clock::real(), Tasks::new());
        Self(Arc::new(Inner { root, ids, clock, tasks }))
    }

    /// Runs what blocks on a thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.0.tasks.spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// A name that was given out, as a path; nothing else ever is.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
                && !part.starts_with('.')
        };
        if name.split('/').all(plain) {
            Ok(self.0.root.join(name))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no blob's name")))
        }
    }
}

impl BlobStore for Folder {
    fn draft(&self) -> BlobFuture<'_, Box<dyn Draft>> {
        Box::pin(async move {
            let path = self.0.root.join(NEW).join(self.0.ids.secret());
            let folder = self.clone();
            self.blocking(move || {
                make(path.parent())?;
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(&path)?;
                let draft = FileDraft { folder, path, file: Some(file), is_finished: false };
                Ok(Box::new(draft) as Box<dyn Draft>)
            })
            .await
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, most: usize) -> BlobFuture<'a, Vec<u8>> {
        Box::pin(async move {
            let path = self.path(name)?;
            self.blocking(move || {
                let mut file = fs::File::open(path)?;
                file.seek(io::SeekFrom::Start(offset))?;
                let mut bytes = Vec::with_capacity(most.min(1024 * 1024));
                file.take(most as u64).read_to_end(&mut bytes)?;
                Ok(bytes)
            })
            .await
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BlobFuture<'a, ()> {
        Box::pin(async move {
            let path = self.path(name)?;
            self.blocking(move || match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            })
            .await
        })
    }

    fn older_than(&self, seconds: u64) -> BlobFuture<'_, Vec<String>> {
        Box::pin(async move {
            let now = self.0.clock.now().as_second();
            let before = now.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX));
            let root = self.0.root.clone();
            self.blocking(move || {
                let mut found = Vec::new();
                older(&root, "", before, &mut found)?;
                Ok(found)
            })
            .await
        })
    }
}

fn older(folder: &Path, name: &str, before: i64, found: &mut Vec<String>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(own) = entry.file_name().into_string() else { continue };
        let inner = if name.is_empty() { own } else { format!("{name}/{own}") };
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            older(&entry.path(), &inner, before, found)?;
        } else if meta.ctime() <= before {
            found.push(inner);
        }
    }
    Ok(())
}

/// Makes a folder that only this user may look into.
fn make(folder: Option<&Path>) -> io::Result<()> {
    let folder = folder.ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

// === impl FileDraft ===

impl FileDraft {
    fn taken(&mut self) -> io::Result<fs::File> {
        self.file.take().ok_or_else(|| io::Error::other("a write before was given up"))
    }
}

impl Draft for FileDraft {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BlobFuture<'a, ()> {
        Box::pin(async move {
            let (mut file, bytes) = (self.taken()?, bytes.to_vec());
            let written = self.folder.blocking(move || file.write_all(&bytes).map(|()| file));
            self.file = Some(written.await?);
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>, hash: String) -> BlobFuture<'static, String> {
        Box::pin(async move {
            let (file, from) = (self.taken()?, self.path.clone());
            let number = self.folder.0.ids.secret();
            let folders = (hash.get(..2).unwrap_or("xx"), hash.get(2..4).unwrap_or("xx"));
            let name = format!("{}/{}/{hash}.{number}", folders.0, folders.1);
            let to = self.folder.path(&name)?;
            let work = move || {
                file.sync_data()?;
                make(to.parent())?;
                fs::rename(&from, &to)?;
                to.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
            };
            self.folder.blocking(work).await?;
            self.is_finished = true;
            Ok(name)
        })
    }
}

impl Drop for FileDraft {
    fn drop(&mut self) {
        if !self.is_finished {
            let _gone = fs::remove_file(&self.path);
        }
    }
}
