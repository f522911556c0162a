//! Caches of steps: restored before the process if nothing is there, filled after it.
//!
//! A path that has something in it already is never touched: in a person's own working tree that is
//! their work. A cache is put there whole or not at all, even if this process is killed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    time::{Duration, UNIX_EPOCH},
};

use plue_plan::budget::Budget;
use plue_runtime::{Beneath, beneath::is_inside, foreign::archive::admit};
use plue_wire::{
    keep::{BlobHash, CacheCare, Record, replace_marks},
    runner::Claim,
};
use tar::EntryType;

use crate::keeper::{Engine, Gone, Listing, Notes, Scratch, Trouble, Workplace, hash};

/// Bytes of the files of one cache at most: 20 GiB.
const MAX_BYTES: u64 = 20 * 1024 * 1024 * 1024;
/// Files of one cache at most.
const MAX_FILES: u64 = 300_000;
/// Bytes of a key at most.
const MAX_KEY_BYTES: usize = 512;
/// Fast, and most of what can be gained.
const LEVEL: i32 = 3;
/// Behind the name of what is not whole yet.
const UNFINISHED: &[u8] = b".plue-restoring";

/// What was found before the process.
#[derive(Debug)]
pub(crate) struct CacheUse {
    key: String,
    /// The entry of this very key is there; nothing is to be filled.
    is_known: bool,
}

/// Looks for the cache of a step and puts it there.
pub(crate) fn restore(
    place: &Workplace,
    engine: &Engine,
    (claim, care): (&Claim, &CacheCare),
    notes: &mut Notes,
) -> Result<Option<CacheUse>, Gone> {
    // Whatever comes of this cache, no step is to see half of it.
    if let Err(error) = remove_unfinished(place, &care.paths) {
        notes.push(format!("cache: what a killed runner left stays there: {error}"));
    }
    let key = match key(place, &care.key) {
        Ok(key) => key,
        Err(why) => {
            notes.push(format!("cache: no key: {why}"));
            return Ok(None);
        }
    };
    let (note, is_known) = match engine.find_cache(claim, &key, &care.restore)? {
        Err(why) => (format!("cache: miss for {key}: {why}"), false),
        Ok(entry) => {
            let how = if entry.exact { "hit" } else { "no exact hit, restored" };
            let found = fetch(place, engine, entry.archive, &care.paths);
            match found.map_err(Trouble::told) {
                Ok(told) => (format!("cache: {how} {}{told}", entry.key), entry.exact),
                Err(why) => (format!("cache: {} cannot be restored: {}", entry.key, why?), false),
            }
        }
    };
    engine.keep(claim, Record::Note(note.clone()))?;
    notes.push(note);
    Ok(Some(CacheUse { key, is_known }))
}

/// Fills the cache of a step that has succeeded.
pub(crate) fn save(
    place: &Workplace,
    engine: &Engine,
    (claim, care, used): (&Claim, &CacheCare, &CacheUse),
    notes: &mut Notes,
) -> Result<(), Gone> {
    if used.is_known {
        return Ok(());
    }
    let note = match pack_and_send(place, engine, (claim, care, used)) {
        Ok(told) => told,
        Err(trouble) => format!("cache: {} not saved: {}", used.key, trouble.told()?),
    };
    engine.keep(claim, Record::Note(note.clone()))?;
    notes.push(note);
    Ok(())
}

fn key(place: &Workplace, template: &str) -> Result<String, String> {
    let key = replace_marks(template, |globs| {
        place.hash_of_globs(globs).map_err(|error| error.to_string())
    })?;
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(format!("it is empty or longer than {MAX_KEY_BYTES} bytes"));
    }
    Ok(key)
}

fn pack_and_send(
    place: &Workplace,
    engine: &Engine,
    (claim, care, used): (&Claim, &CacheCare, &CacheUse),
) -> Result<String, Trouble> {
    let scratch = Scratch::new(&place.scratch, "cache-save");
    let roots: Vec<Vec<u8>> = care.paths.iter().map(|path| plain(path)).collect();
    let (listing, beneath) = (place.list()?, place.beneath()?);
    let files = pack(&listing, &beneath, &roots, scratch.create()?)?;
    if files == 0 {
        return Ok(format!(
            "cache: {} not saved: there is nothing in {}",
            used.key,
            care.paths.join(", ")
        ));
    }
    let (archive, bytes) = hash(scratch.open()?)?;
    if !engine.missing(&[archive])?.is_empty() {
        engine.put_file(scratch.open()?, archive, bytes)?;
    }
    let record = Record::Cache { key: used.key.clone(), archive, bytes, files };
    match engine.keep(claim, record)? {
        None => Ok(format!("cache: saved {}, {files} files, {bytes} bytes packed", used.key)),
        Some(why) => Err(Trouble::Told(why)),
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

fn pack(listing: &Listing, beneath: &Beneath, roots: &[Vec<u8>], to: File) -> io::Result<u64> {
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
            let text = beneath.link_text(path)?;
            archive.append_link(&mut header, name, OsStr::from_bytes(&text))?;
            files += 1;
        } else {
            let file = beneath.read(path)?;
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

/// Fetches an archive and puts those of its roots there that are not; says which were.
fn fetch(
    place: &Workplace,
    engine: &Engine,
    archive: BlobHash,
    paths: &[String],
) -> Result<String, Trouble> {
    let beneath = place.beneath()?;
    let (mut roots, mut left) = (Vec::new(), Vec::new());
    for path in paths {
        let root = plain(path);
        if beneath.stat(&root)?.is_some() {
            left.push(path.clone());
        } else {
            roots.push(root);
        }
    }
    let told = if left.is_empty() {
        String::new()
    } else {
        format!("; left as it is, because it is there: {}", left.join(", "))
    };
    if roots.is_empty() {
        return Ok(told);
    }
    let scratch = Scratch::new(&place.scratch, "cache-restore");
    engine.get(archive, &mut scratch.create()?)?;
    let unpacked = unpack(&beneath, scratch.open()?, &roots);
    for root in &roots {
        let from = unfinished(root);
        match &unpacked {
            Ok(()) if beneath.stat(&from)?.is_some() => beneath.rename(&from, root)?,
            Ok(()) => {}
            Err(_) => remove_all(place, &from)?,
        }
    }
    unpacked?;
    Ok(told)
}

fn unfinished(root: &[u8]) -> Vec<u8> {
    [root, UNFINISHED].concat()
}

/// What a runner that was killed had begun to unpack.
fn remove_unfinished(place: &Workplace, paths: &[String]) -> io::Result<()> {
    let beneath = place.beneath()?;
    for path in paths {
        let from = unfinished(&plain(path));
        if beneath.stat(&from)?.is_some() {
            remove_all(place, &from)?;
        }
    }
    Ok(())
}

fn remove_all(place: &Workplace, path: &[u8]) -> io::Result<()> {
    let path = place.root.join(OsStr::from_bytes(path));
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

/// Unpacks what is under the roots, each beside its place.
fn unpack(beneath: &Beneath, from: File, roots: &[Vec<u8>]) -> io::Result<()> {
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
                beneath.folder(&to, 0o755)?;
                folders.push((to, mode));
            }
            EntryType::Symlink => {
                let text = entry.link_name_bytes().unwrap_or_default().into_owned();
                beneath.link(&to, &text)?;
            }
            EntryType::Regular => {
                let modified = UNIX_EPOCH + Duration::from_secs(entry.header().mtime()?);
                beneath.write(&to, mode, |file| {
                    io::copy(&mut entry, file)?;
                    file.set_modified(modified)
                })?;
            }
            _ => return Err(io::Error::other("the archive has something that is no file")),
        }
    }
    // Last, because nothing can be written into a folder that must not be written to.
    folders.iter().rev().try_for_each(|(path, mode)| beneath.folder(path, *mode))
}
