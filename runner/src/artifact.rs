//! Artifacts: files that a step names are sent to the engine, or put back from it.
//!
//! Only regular files beneath the workspace, never through a symbolic link.

use std::io::{self, Read as _};

use plue_runtime::{Beneath, beneath::is_inside};
use plue_wire::{
    keep::{BlobHash, KeptFile, MAX_ARTIFACTS, Record},
    runner::Claim,
};
use sha2::{Digest as _, Sha256};

use crate::keeper::{Engine, Globs, Gone, Notes, SMALL_BYTES, Trouble, Workplace, hash};

/// Bytes of one attempt's artifacts at most: 10 GiB.
const MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Paths that one note names at most.
const MAX_NAMED: usize = 3;

/// Keeps the files that the globs name; tells whether everything was kept.
pub(crate) fn collect(
    place: &Workplace,
    engine: &Engine,
    (claim, globs): (&Claim, &[String]),
    notes: &mut Notes,
) -> Result<bool, Gone> {
    let files = match gather(place, engine, globs, notes) {
        Ok(files) => files,
        Err(trouble) => {
            notes.push(format!("artifacts: not kept: {}", trouble.told()?));
            return Ok(false);
        }
    };
    if files.is_empty() {
        notes.push(format!("artifacts: nothing matches {}", globs.join(", ")));
        return Ok(true);
    }
    let (count, bytes) = (files.len(), files.iter().map(|file| file.bytes).sum::<u64>());
    match engine.keep(claim, Record::Artifacts(files))? {
        None => notes.push(format!("artifacts: {count} kept, {bytes} bytes")),
        Some(why) => notes.push(format!("artifacts: not kept: {why}")),
    }
    Ok(true)
}

fn gather(
    place: &Workplace,
    engine: &Engine,
    globs: &[String],
    notes: &mut Notes,
) -> Result<Vec<KeptFile>, Trouble> {
    let globs = Globs::new(globs).map_err(|error| Trouble::Told(error.to_string()))?;
    let (listing, beneath) = (place.list()?, place.beneath()?);
    let (mut files, mut bytes, mut left_out) = (Vec::new(), 0_u64, Vec::new());
    for (path, sig) in listing.iter().filter(|(path, sig)| !sig.is_folder() && globs.matches(path))
    {
        let name = std::str::from_utf8(path).ok();
        let (true, Some(name)) = (sig.is_file(), name) else {
            left_out.push(String::from_utf8_lossy(path).into_owned());
            continue;
        };
        bytes += sig.size;
        if files.len() >= MAX_ARTIFACTS || bytes > MAX_BYTES {
            let message = format!(
                "they are more than {MAX_ARTIFACTS} files or {MAX_BYTES} bytes; pack them first"
            );
            return Err(Trouble::Told(message));
        }
        let (blob, size) = hash(beneath.read(path)?)?;
        let executable = sig.is_executable();
        files.push(KeptFile { path: name.to_owned(), blob, bytes: size, executable });
    }
    if !left_out.is_empty() {
        let named = left_out.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "artifacts: {} left out, they are symbolic links or have no readable name: {named}",
            left_out.len()
        ));
    }
    let contents: Vec<_> =
        files.iter().map(|file| (file.path.as_bytes(), file.blob, file.bytes)).collect();
    let failed = upload(&beneath, engine, &contents)?;
    match failed.first() {
        None => Ok(files),
        Some(_) => Err(Trouble::Told("a file changed while it was kept".to_owned())),
    }
}

/// Sends what the engine lacks of these files; gives what could not be sent.
pub(crate) fn upload(
    beneath: &Beneath,
    engine: &Engine,
    contents: &[(&[u8], BlobHash, u64)],
) -> Result<Vec<BlobHash>, Trouble> {
    let all: Vec<_> = contents.iter().map(|(_, blob, _)| *blob).collect();
    let mut missing: std::collections::HashSet<_> = engine.missing(&all)?.into_iter().collect();
    let (mut small, mut small_bytes, mut failed) = (Vec::new(), 0, Vec::new());
    for (path, blob, size) in contents {
        if !missing.remove(blob) {
            continue;
        }
        if *size > SMALL_BYTES {
            let sent = beneath
                .read(path)
                .map_err(Trouble::from)
                .and_then(|file| engine.put_file(file, *blob, *size));
            if let Err(Trouble::Gone) = sent {
                return Err(Trouble::Gone);
            }
            failed.extend(sent.is_err().then_some(*blob));
            continue;
        }
        match read_small(beneath, path) {
            Ok(bytes) if BlobHash(Sha256::digest(&bytes).into()) == *blob => {
                small_bytes += bytes.len();
                small.push(bytes);
            }
            Ok(_) | Err(_) => failed.push(*blob),
        }
        if small_bytes > 4 * 1024 * 1024 {
            engine.put_many(std::mem::take(&mut small))?;
            small_bytes = 0;
        }
    }
    engine.put_many(small)?;
    Ok(failed)
}

fn read_small(beneath: &Beneath, path: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    beneath.read(path)?.take(SMALL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the files of an earlier attempt where they were, unless they are there.
pub(crate) fn put_back(
    place: &Workplace,
    engine: &Engine,
    files: &[KeptFile],
) -> Result<(), Trouble> {
    let beneath = place.beneath()?;
    for file in files {
        let path = file.path.as_bytes();
        if !is_inside(path) {
            return Err(Trouble::Told("a path leads outside".to_owned()));
        }
        let mode: u32 = if file.executable { 0o755 } else { 0o644 };
        let there = beneath.stat(path)?;
        let is_same = there.is_some_and(|stat| (stat.st_mode & 0o111 != 0) == file.executable)
            && beneath.read(path).and_then(hash).is_ok_and(|(blob, _)| blob == file.blob);
        if is_same {
            continue;
        }
        let mut trouble = None;
        let written = beneath.write(path, mode, |to| {
            engine.get(file.blob, to).map(|_| ()).map_err(|error| {
                trouble = Some(error);
                io::Error::other("see above")
            })
        });
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        written?;
    }
    Ok(())
}
