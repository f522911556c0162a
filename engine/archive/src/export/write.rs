//! Writing a run into a file. The same run gives the same bytes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, PipeWriter, Write},
    path::Path,
};

use plue_executor::Origin;
use plue_plan::RunId;
use plue_planner::{ReadSet, read_set::FileRecord};
use plue_store::{Store, portable::TABLES};
use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::{Error, FORMAT, HEADER, Header, MANIFEST, Manifest, Page, rows_name, to_json};

/// Bytes of a source at most.
const MAX_SOURCE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a blob that are in memory at once.
const PART_BYTES: usize = 1024 * 1024;
/// Fast enough for logs, and small.
const LEVEL: i32 = 3;

/// A file that is being written.
struct Archive<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, W>>,
    entries: BTreeMap<String, (String, u64)>,
}

/// Summary of a written file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Number of written entries.
    pub entries: usize,
    /// Bytes before compression.
    pub bytes: u64,
    /// Content that has expired since.
    pub missing: Vec<String>,
}

/// Writes an ended run into a new file.
///
/// # Errors
/// The run has not ended; the file or the database.
pub async fn write(store: &Store, run: &RunId, file: File) -> Result<Written, Error> {
    let (written, file) = write_to(store, run, file).await?;
    file.sync_all()?;
    Ok(written)
}

/// Writes an ended run into a pipe. Blocks: only for a thread made for it.
///
/// # Errors
/// As [`write()`], in words.
pub fn into_pipe(store: &Store, run: &RunId, pipe: PipeWriter) -> Result<(), String> {
    let written = Handle::current().block_on(write_to(store, run, pipe));
    written.map(drop).map_err(|error| error.to_string())
}

async fn write_to<W: Write>(store: &Store, run: &RunId, file: W) -> Result<(Written, W), Error> {
    let row = store.runs().get(run).await?;
    if row.is_none_or(|row| !row.view.status.is_terminal()) {
        return Err(Error::Refused(format!("run {run} has not ended; a run is exported whole")));
    }
    let tar = tar::Builder::new(zstd::Encoder::new(file, LEVEL)?);
    let mut archive = Archive { tar, entries: BTreeMap::new() };
    let header = Header { format: FORMAT, run: run.to_string() };
    archive.put(HEADER, &json(&header)?)?;
    for table in TABLES {
        let (mut offset, mut page) = (0, 1);
        loop {
            let rows = store.archive().rows(table, run, offset).await?;
            if rows.is_empty() {
                break;
            }
            offset += rows.len() as u64;
            let rows = rows.iter().map(|row| row.iter().map(to_json).collect()).collect();
            let columns = table.columns().map(str::to_owned).collect();
            let content = json(&Page { table: table.name.to_owned(), columns, rows })?;
            archive.put(&rows_name(table.name, page), &content)?;
            page += 1;
        }
    }
    let mut missing = archive.artifacts(store, run).await?;
    let sources = archive.sources(store, run, &mut missing).await?;
    missing.sort();
    missing.dedup();
    archive.finish(sources, missing)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Bad(error.to_string()))
}

// === impl Archive ===

impl<W: Write> Archive<W> {
    fn append(&mut self, name: &str, size: u64, content: impl io::Read) -> Result<(), Error> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(size);
        self.tar.append_data(&mut header, name, content)?;
        Ok(())
    }

    fn put(&mut self, name: &str, content: &[u8]) -> Result<(), Error> {
        let hash = BlobHash(Sha256::digest(content).into()).to_string();
        self.append(name, content.len() as u64, content)?;
        self.entries.insert(name.to_owned(), (hash, content.len() as u64));
        Ok(())
    }

    /// The content of the artifacts; gives what is not there any more.
    async fn artifacts(&mut self, store: &Store, run: &RunId) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for artifact in store.artifacts().list(run).await? {
            if artifact.expired_at.is_some() || !self.blob(store, &artifact.blob).await? {
                missing.push(format!("artifact {} of {}", artifact.path, artifact.step));
            }
        }
        Ok(missing)
    }

    /// A blob, once; returns whether it exists.
    async fn blob(&mut self, store: &Store, blob: &BlobHash) -> Result<bool, Error> {
        let name = format!("blobs/{blob}");
        if self.entries.contains_key(&name) {
            return Ok(true);
        }
        let Some(mut reader) = store.blobs().reader(blob).await? else { return Ok(false) };
        // Through a file without a name, so that its size is known and memory is not needed.
        let mut spool = spool()?;
        let mut size = 0;
        while let Some(part) = reader.next(PART_BYTES).await? {
            size += part.len() as u64;
            spool.write_all(&part)?;
        }
        io::Seek::rewind(&mut spool)?;
        self.append(&name, size, &mut spool)?;
        self.entries.insert(name, (blob.to_string(), size));
        Ok(true)
    }

    /// The sources of the plan, as far as they are still what they were.
    async fn sources(
        &mut self,
        store: &Store,
        run: &RunId,
        missing: &mut Vec<String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut sources = BTreeMap::new();
        let imported = store.archive().imported(run).await?;
        let source = store.outputs().source_of_run(run).await?;
        let origin = source.and_then(|source| serde_json::from_value::<Origin>(source.origin).ok());
        let Some(origin) = origin else { return Ok(sources) };
        let Ok(read_set) = serde_json::from_value::<ReadSet>(origin.read_set) else {
            return Ok(sources);
        };
        let facts = read_set.files.iter().filter_map(|(path, record)| match record {
            FileRecord::Sha256(hash) => Some((path, hash)),
            FileRecord::NotText | FileRecord::Present | FileRecord::Absent => None,
        });
        for (path, hash) in read_set.sources.iter().chain(facts) {
            let plain = hash.trim_start_matches("sha256:");
            let Ok(blob) = plain.parse::<BlobHash>() else { continue };
            let is_there = if imported.is_some() {
                self.blob(store, &blob).await?
            } else {
                match read_source(&origin.repository, path) {
                    Some(content) if BlobHash(Sha256::digest(&content).into()) == blob => {
                        let name = format!("blobs/{blob}");
                        if !self.entries.contains_key(&name) {
                            self.put(&name, &content)?;
                        }
                        true
                    }
                    Some(_) | None => false,
                }
            };
            if is_there {
                sources.insert(path.clone(), plain.to_owned());
            } else {
                missing.push(format!("source {path}"));
            }
        }
        Ok(sources)
    }

    fn finish(
        mut self,
        sources: BTreeMap<String, String>,
        missing: Vec<String>,
    ) -> Result<(Written, W), Error> {
        let entries = std::mem::take(&mut self.entries);
        let bytes = entries.values().map(|(_, size)| size).sum();
        let written = Written { entries: entries.len(), bytes, missing: missing.clone() };
        let manifest = json(&Manifest { entries, sources, missing })?;
        self.append(MANIFEST, manifest.len() as u64, manifest.as_slice())?;
        let mut file = self.tar.into_inner()?.finish()?;
        file.flush()?;
        Ok((written, file))
    }
}

fn read_source(repository: &Path, path: &str) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let confined = plue_runtime::ConfinedDir::open(repository).ok()?;
    let mut content = Vec::new();
    confined.read(path.as_bytes()).ok()?.take(MAX_SOURCE_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

/// A file without a name: it goes when it is closed.
fn spool() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(std::env::temp_dir(), flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => Ok(File::from(file)),
        Err(_) => Ok(File::from(rustix::fs::memfd_create("plue-export", MemfdFlags::CLOEXEC)?)),
    }
}
