//! Reading a run from a file: twice, first to check everything, then to store it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use plue_plan::{
    RunId,
    budget::{Budget, Meter},
    counted::count_values,
};
use plue_store::{
    Store,
    portable::{self, Cell},
};
use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};

use super::{
    Entry, Error, FORMAT, Header, MAX_ENTRIES, MAX_GROWTH, MAX_ROWS_BYTES, MAX_TOTAL_BYTES,
    MAX_VALUES, Manifest, Page, entry_of, from_json,
};

/// Bytes of a blob that are in memory at once.
const PART_BYTES: usize = 1024 * 1024;
/// Small files may grow as they like up to this.
const FREE_GROWTH: u64 = 64 * 1024 * 1024;

/// A file that was checked.
#[derive(Debug)]
pub struct Checked {
    /// The run in it.
    pub run: RunId,
    /// The list of its entries.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub seal: String,
}

/// Counts what comes out of the decompressor.
struct Bounded<R> {
    inner: R,
    left: u64,
}

type Unpacked = tar::Archive<Bounded<zstd::Decoder<'static, io::BufReader<File>>>>;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other("it becomes much larger when it is unpacked than any run would")
        })?;
        Ok(count)
    }
}

fn open(path: &Path) -> Result<Unpacked, Error> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let left = size.saturating_mul(MAX_GROWTH).saturating_add(FREE_GROWTH).min(MAX_TOTAL_BYTES);
    let inner = zstd::Decoder::new(file).map_err(|error| bad(&error.to_string()))?;
    Ok(tar::Archive::new(Bounded { inner, left }))
}

fn bad(message: &str) -> Error {
    Error::Bad(message.to_owned())
}

/// Checks a whole file without storing anything.
///
/// # Errors
/// [`Error::Bad`] with what is wrong.
pub fn check(path: &Path) -> Result<Checked, Error> {
    let mut archive = open(path)?;
    let mut found: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let (mut run, mut manifest) = (None, None);
    // Names are short: a long one, which the library would read into memory, is no entry of ours.
    for entry in archive.entries().map_err(|error| bad(&error.to_string()))?.raw(true) {
        let mut entry = entry.map_err(|error| bad(&error.to_string()))?;
        if manifest.is_some() || found.len() >= MAX_ENTRIES {
            return Err(bad("it has something behind its end, or too many parts"));
        }
        let (name, kind) = name_of(&entry)?;
        if run.is_none() && kind != Entry::Header {
            return Err(bad("it does not begin like one"));
        }
        match kind {
            Entry::Header => {
                let content = content(&mut entry)?;
                let header: Header = parse(&content)?;
                if header.format != FORMAT {
                    let message = format!("its format {} is not known here", header.format);
                    return Err(Error::Bad(message));
                }
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if !(1..=64).contains(&header.run.len()) || !header.run.chars().all(plain) {
                    return Err(bad("its run has no name that a run could have"));
                }
                run = Some(RunId::new(header.run));
                note(&mut found, name, (digest(&content), content.len() as u64))?;
            }
            Entry::Manifest => {
                let content = content(&mut entry)?;
                manifest = Some((parse::<Manifest>(&content)?, digest(&content)));
            }
            Entry::Rows(table) => {
                let content = content(&mut entry)?;
                let run = run.as_ref().ok_or_else(|| bad("it does not begin like one"))?;
                rows(&table, run, &content)?;
                note(&mut found, name, (digest(&content), content.len() as u64))?;
            }
            Entry::Blob(hash) => {
                let mut hasher = Sha256::new();
                let size = io::copy(&mut entry, &mut hasher).map_err(|e| bad(&e.to_string()))?;
                let actual = BlobHash(hasher.finalize().into()).to_string();
                if actual != hash {
                    return Err(Error::Bad(format!("{name} is damaged")));
                }
                note(&mut found, name, (actual, size))?;
            }
        }
    }
    let (Some(run), Some((manifest, seal))) = (run, manifest) else {
        return Err(bad("it ends too early"));
    };
    compare(&manifest, &found)?;
    Ok(Checked { run, manifest, seal })
}

fn note(
    found: &mut BTreeMap<String, (String, u64)>,
    name: String,
    what: (String, u64),
) -> Result<(), Error> {
    match found.insert(name.clone(), what) {
        None => Ok(()),
        Some(_) => Err(Error::Bad(format!("{name} is in it twice"))),
    }
}

fn compare(manifest: &Manifest, found: &BTreeMap<String, (String, u64)>) -> Result<(), Error> {
    if let Some((name, _)) =
        manifest.entries.iter().find(|(name, what)| found.get(*name) != Some(what))
    {
        return Err(Error::Bad(format!("{name} is missing or differs from the manifest")));
    }
    if found.len() != manifest.entries.len() {
        return Err(bad("it has parts that the manifest does not know"));
    }
    let is_known = |hash: &String| manifest.entries.contains_key(&format!("blobs/{hash}"));
    match manifest.sources.iter().find(|(_, hash)| !is_known(hash)) {
        Some((path, _)) => Err(Error::Bad(format!("the source {path} is missing"))),
        None => Ok(()),
    }
}

fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<(String, Entry), Error> {
    let path = entry.path_bytes();
    let name = String::from_utf8_lossy(&path).into_owned();
    let is_file = entry.header().entry_type() == tar::EntryType::Regular;
    match entry_of(&name).filter(|_| is_file) {
        Some(kind) => Ok((name, kind)),
        None => {
            let shown: String =
                name.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect();
            Err(Error::Bad(format!("{shown:?} does not belong into it")))
        }
    }
}

fn content(entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = entry.take(MAX_ROWS_BYTES + 1).read_to_end(&mut content);
    read.map_err(|error| bad(&error.to_string()))?;
    if content.len() as u64 > MAX_ROWS_BYTES {
        return Err(bad("a part of it is too large"));
    }
    Ok(content)
}

fn parse<T: serde::de::DeserializeOwned>(content: &[u8]) -> Result<T, Error> {
    let budget = Budget { bytes: MAX_ROWS_BYTES, items: MAX_VALUES, steps: u64::MAX };
    let counted = count_values(content, &Meter::new(budget));
    counted.map_err(|stopped| Error::Bad(format!("a part of it is too large: {stopped}")))?;
    serde_json::from_slice(content).map_err(|error| bad(&error.to_string()))
}

fn digest(content: &[u8]) -> String {
    BlobHash(Sha256::digest(content).into()).to_string()
}

/// The rows of an entry; each fits its table and is of this run.
fn rows(table: &str, run: &RunId, content: &[u8]) -> Result<Vec<Vec<Cell>>, Error> {
    let page: Page = parse(content)?;
    let known = portable::table(table).ok_or_else(|| bad("a table is not known here"))?;
    if page.table != table || !page.columns.iter().map(String::as_str).eq(known.columns()) {
        return Err(Error::Bad(format!("the columns of {table} are not known here")));
    }
    let rows: Option<Vec<Vec<Cell>>> =
        page.rows.into_iter().map(|row| row.into_iter().map(from_json).collect()).collect();
    let rows = rows.ok_or_else(|| bad("a row has a value that no row has"))?;
    if rows.iter().all(|row| known.fits(run, row) && is_sound(table, row)) {
        Ok(rows)
    } else {
        Err(Error::Bad(format!("a row of {table} does not fit, or is of another run")))
    }
}

/// Rules beyond the columns: a plan has its hash, and a run has ended.
fn is_sound(table: &str, row: &[Cell]) -> bool {
    match (table, row) {
        ("plan", [Cell::Text(hash), _, Cell::Bytes(canonical), _]) => {
            *hash == format!("sha256:{}", digest(canonical))
                && plue_plan::Plan::from_json(canonical).is_ok()
        }
        ("run", row) => match row.get(6) {
            Some(Cell::Text(status)) => {
                status.parse().is_ok_and(|status: plue_flow::RunStatus| status.is_terminal())
            }
            Some(Cell::Null | Cell::Int(_) | Cell::Bytes(_)) | None => false,
        },
        (_, _) => table != "plan",
    }
}

/// Stores what is in a checked file. A run that an earlier import left unfinished is started again.
///
/// # Errors
/// The run is there already ([`Error::Refused`]); the file has changed; the database.
pub async fn import(store: &Store, path: &Path, checked: &Checked) -> Result<(), Error> {
    let run = &checked.run;
    if store.runs().get(run).await?.is_some() {
        return Err(Error::Refused(format!("run {run} is here already; nothing was changed")));
    }
    if store.archive().imported(run).await?.is_some_and(|run| run.manifest.is_empty()) {
        store.retention().delete_run(run).await?;
    }
    // Content first: rows never point at nothing.
    let mut archive = open(path)?;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if let (name, Entry::Blob(_)) = name_of(&entry)? {
            let mut writer = store.blobs().writer();
            let mut part = vec![0; PART_BYTES];
            loop {
                let count = entry.read(&mut part)?;
                if count == 0 {
                    break;
                }
                writer.write(&part[..count]).await?;
            }
            let (hash, _) = writer.finish().await?;
            if format!("blobs/{hash}") != name {
                return Err(bad("it changed while it was read"));
            }
        }
    }
    let mut archive = open(path)?;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if let (name, Entry::Rows(table)) = name_of(&entry)? {
            let content = content(&mut entry)?;
            if checked.manifest.entries.get(&name).is_none_or(|(hash, _)| *hash != digest(&content))
            {
                return Err(bad("it changed while it was read"));
            }
            let rows = rows(&table, run, &content)?;
            let known = portable::table(&table).ok_or_else(|| bad("a table is not known here"))?;
            store.archive().import(known, run, rows).await?;
        }
    }
    let manifest = serde_json::json!({
        "sources": checked.manifest.sources, "seal": checked.seal,
    });
    Ok(store.archive().finish_import(run, &manifest.to_string()).await?)
}
