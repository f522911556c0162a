//! Caches of steps: restored before the process if nothing is there, filled after it.
//!
//! An existing path is never touched: in a user's own work tree it is their work. A cache is
//! restored completely or not at all, even if this process is killed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    time::{Duration, UNIX_EPOCH},
};

use plue_plan::budget::Budget;
use plue_runtime::{ConfinedDir, confined_dir::is_inside, foreign::archive::admit};
use plue_wire::{
    outputs::{BlobHash, CacheSpec, Record, replace_marks},
    runner::Claim,
};
use tar::EntryType;

use crate::outputs::{
    ContentClient, DispatcherGone, Listing, Notes, OutputError, Scratch, WorkTree, hash,
};

/// Bytes of the files of one cache at most: 20 GiB.
const MAX_BYTES: u64 = 20 * 1024 * 1024 * 1024;
/// Files of one cache at most.
const MAX_FILES: u64 = 300_000;
/// Bytes of a key at most.
const MAX_KEY_BYTES: usize = 512;
/// Compression level: fast, with most of the possible gain.
const LEVEL: i32 = 3;
/// Suffix of the names of unfinished roots.
const UNFINISHED: &[u8] = b".plue-restoring";

/// The state of a cache before the process.
#[derive(Debug)]
pub(crate) struct CacheUse {
    key: String,
    /// The exact key was a hit: nothing is to be saved.
    is_known: bool,
}

/// Finds the cache of a step and restores it.
pub(crate) fn restore(
    tree: &WorkTree,
    client: &ContentClient,
    claim: &Claim,
    spec: &CacheSpec,
    notes: &mut Notes,
) -> Result<Option<CacheUse>, DispatcherGone> {
    // No step may see a half-restored cache.
    if let Err(error) = remove_unfinished(tree, &spec.paths) {
        notes.push(format!("cache: what a killed runner left stays there: {error}"));
    }
    let key = match key(tree, &spec.key) {
        Ok(key) => key,
        Err(why) => {
            notes.push(format!("cache: no key: {why}"));
            return Ok(None);
        }
    };
    let (note, is_known) = match client.find_cache(claim, &key, &spec.restore)? {
        Err(why) => (format!("cache: miss for {key}: {why}"), false),
        Ok(entry) => {
            let how = if entry.exact { "hit" } else { "no exact hit, restored" };
            let found = fetch(tree, client, entry.archive, &spec.paths);
            match found.map_err(OutputError::message) {
                Ok(left) => (format!("cache: {how} {}{left}", entry.key), entry.exact),
                Err(why) => (format!("cache: {} cannot be restored: {}", entry.key, why?), false),
            }
        }
    };
    client.record(claim, Record::Note(note.clone()))?;
    notes.push(note);
    Ok(Some(CacheUse { key, is_known }))
}

/// Fills the cache of a step that has succeeded.
pub(crate) fn save(
    tree: &WorkTree,
    client: &ContentClient,
    claim: &Claim,
    spec: &CacheSpec,
    used: &CacheUse,
    notes: &mut Notes,
) -> Result<(), DispatcherGone> {
    if used.is_known {
        return Ok(());
    }
    let note = match pack_and_send(tree, client, claim, spec, used) {
        Ok(note) => note,
        Err(trouble) => format!("cache: {} not saved: {}", used.key, trouble.message()?),
    };
    client.record(claim, Record::Note(note.clone()))?;
    notes.push(note);
    Ok(())
}

fn key(tree: &WorkTree, template: &str) -> Result<String, String> {
    let key = replace_marks(template, |globs| {
        tree.hash_of_globs(globs).map_err(|error| error.to_string())
    })?;
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(format!("it is empty or longer than {MAX_KEY_BYTES} bytes"));
    }
    Ok(key)
}

fn pack_and_send(
    tree: &WorkTree,
    client: &ContentClient,
    claim: &Claim,
    spec: &CacheSpec,
    used: &CacheUse,
) -> Result<String, OutputError> {
    let scratch = Scratch::new(&tree.scratch, "cache-save");
    let roots: Vec<Vec<u8>> = spec.paths.iter().map(|path| plain(path)).collect();
    let (listing, confined) = (tree.list()?, tree.confined()?);
    let files = pack(&listing, &confined, &roots, scratch.create()?)?;
    if files == 0 {
        return Ok(format!(
            "cache: {} not saved: there is nothing in {}",
            used.key,
            spec.paths.join(", ")
        ));
    }
    let (archive, bytes) = hash(scratch.open()?)?;
    if !client.missing(&[archive])?.is_empty() {
        client.put_file(scratch.open()?, archive, bytes)?;
    }
    let record = Record::Cache { key: used.key.clone(), archive, bytes, files };
    match client.record(claim, record)? {
        None => Ok(format!("cache: saved {}, {files} files, {bytes} bytes packed", used.key)),
        Some(why) => Err(OutputError::Message(why)),
    }
}

/// A path of a plan without decoration.
fn plain(path: &str) -> Vec<u8> {
    let path = path.trim_end_matches('/');
    path.trim_start_matches("./").as_bytes().to_vec()
}

fn is_under(path: &[u8], root: &[u8]) -> bool {
    let rest = path.strip_prefix(root);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn pack(listing: &Listing, confined: &ConfinedDir, roots: &[Vec<u8>], to: File) -> io::Result<u64> {
    let packed = zstd::Encoder::new(to, LEVEL)?;
    let mut archive = tar::Builder::new(packed);
    let (mut files, mut bytes) = (0, 0_u64);
    let wanted = listing.iter().filter(|(path, _)| roots.iter().any(|root| is_under(path, root)));
    for (path, sig) in wanted {
        bytes += sig.size;
        if files >= MAX_FILES || bytes > MAX_BYTES {
            let message = format!("it is more than {MAX_FILES} files or {MAX_BYTES} bytes");
            return Err(io::Error::other(message));
        }
        let name = OsStr::from_bytes(path);
        let mut header = tar::Header::new_gnu();
        header.set_mode(sig.mode & 0o777);
        header.set_mtime(u64::try_from(sig.mtime_ns / 1_000_000_000).unwrap_or(0));
        if sig.is_folder() {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            archive.append_data(&mut header, name, io::empty())?;
        } else if sig.is_link() {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            let text = confined.link_text(path)?;
            archive.append_link(&mut header, name, OsStr::from_bytes(&text))?;
            files += 1;
        } else {
            let file = confined.read(path)?;
            let size = file.metadata()?.len();
            header.set_size(size);
            archive.append_data(&mut header, name, file.take(size))?;
            files += 1;
        }
    }
    let mut to = archive.into_inner()?.finish()?;
    to.flush()?;
    Ok(files)
}

/// Fetches an archive and restores those of its roots that are missing; returns a note on the
/// others.
fn fetch(
    tree: &WorkTree,
    client: &ContentClient,
    archive: BlobHash,
    paths: &[String],
) -> Result<String, OutputError> {
    let confined = tree.confined()?;
    let (mut roots, mut left) = (Vec::new(), Vec::new());
    for path in paths {
        let root = plain(path);
        if confined.stat(&root)?.is_some() {
            left.push(path.clone());
        } else {
            roots.push(root);
        }
    }
    let note = if left.is_empty() {
        String::new()
    } else {
        format!("; left as it is, because it is there: {}", left.join(", "))
    };
    if roots.is_empty() {
        return Ok(note);
    }
    let scratch = Scratch::new(&tree.scratch, "cache-restore");
    client.get(archive, &mut scratch.create()?)?;
    let unpacked = unpack(&confined, scratch.open()?, &roots);
    for root in &roots {
        let from = unfinished(root);
        match &unpacked {
            Ok(()) if confined.stat(&from)?.is_some() => confined.rename(&from, root)?,
            Ok(()) => {}
            Err(_) => remove_all(tree, &from)?,
        }
    }
    unpacked?;
    Ok(note)
}

fn unfinished(root: &[u8]) -> Vec<u8> {
    [root, UNFINISHED].concat()
}

/// Removes archives that a killed runner has not finished to unpack.
fn remove_unfinished(tree: &WorkTree, paths: &[String]) -> io::Result<()> {
    let confined = tree.confined()?;
    for path in paths {
        let from = unfinished(&plain(path));
        if confined.stat(&from)?.is_some() {
            remove_all(tree, &from)?;
        }
    }
    Ok(())
}

fn remove_all(tree: &WorkTree, path: &[u8]) -> io::Result<()> {
    let path = tree.root.join(OsStr::from_bytes(path));
    let removed = match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(&path),
        Ok(_) => std::fs::remove_file(&path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Unpacks the roots, each under a temporary name in its folder.
fn unpack(confined: &ConfinedDir, from: File, roots: &[Vec<u8>]) -> io::Result<()> {
    let mut from = from;
    let budget = Budget { bytes: MAX_BYTES, items: 4 * MAX_FILES, steps: u64::MAX };
    admit(zstd::Decoder::new(&mut from)?, budget)?;
    from.rewind()?;
    let mut archive = tar::Archive::new(zstd::Decoder::new(from)?.take(MAX_BYTES));
    let mut folders = Vec::new();
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count as u64 > 2 * MAX_FILES {
            return Err(io::Error::other("the archive has too many files"));
        }
        let path = entry.path_bytes().trim_ascii_end().to_vec();
        let path = path.strip_suffix(b"/").unwrap_or(&path);
        let Some(root) = roots.iter().find(|root| is_under(path, root)) else { continue };
        if !is_inside(path) {
            return Err(io::Error::other("the archive has a path that leads outside"));
        }
        let to = [unfinished(root).as_slice(), &path[root.len()..]].concat();
        let mode = entry.header().mode()?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                confined.folder(&to, 0o755)?;
                folders.push((to, mode));
            }
            EntryType::Symlink => {
                let text = entry.link_name_bytes().unwrap_or_default().into_owned();
                confined.link(&to, &text)?;
            }
            EntryType::Regular => {
                let modified = UNIX_EPOCH + Duration::from_secs(entry.header().mtime()?);
                confined.write(&to, mode, |file| {
                    io::copy(&mut entry, file)?;
                    file.set_modified(modified)
                })?;
            }
            _ => return Err(io::Error::other("the archive has something that is no file")),
        }
    }
    // Last, because nothing can be written into a folder that must not be written to.
    folders.iter().rev().try_for_each(|(path, mode)| confined.folder(path, *mode))
}
