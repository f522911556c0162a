//! Artifacts: files that a step names are sent to the engine, or put back from it.
//!
//! Only regular files in the workspace, never through a symbolic link.

use std::{
    collections::BTreeSet,
    io::{self, Read as _},
};

use plue_plan::artifacts::{LostArtifacts, MissingArtifacts};
use plue_runtime::{ConfinedDir, confined_dir::is_inside, mask::Secrets};
use plue_wire::{
    outputs::{ArtifactFile, BlobHash, MAX_ARTIFACTS, OutputSpec, Record, path_bytes, path_text},
    runner::Claim,
};
use sha2::{Digest as _, Sha256};

use crate::{
    codes,
    outputs::{
        ContentClient, DispatcherGone, Globs, Notes, OutputError, SMALL_BYTES, WorkTree, hash,
    },
};

/// Bytes of one attempt's artifacts at most: 10 GiB.
const MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Paths that one note names at most.
const MAX_NAMED: usize = 3;

/// The result of storing the files of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Notes on the files, for users.
    pub(crate) notes: Notes,
    /// Reason for people why the step fails.
    pub(crate) failure: Option<String>,
    /// Whether every matching file is stored under its own name: a file with a masked name cannot
    /// be restored.
    pub(crate) is_whole: bool,
}

/// Stores the files that the globs match.
pub(crate) fn collect(
    tree: &WorkTree,
    client: &ContentClient,
    claim: &Claim,
    spec: &OutputSpec,
    secrets: &Secrets,
) -> Result<Collected, DispatcherGone> {
    let mut collected = Collected { is_whole: true, ..Collected::default() };
    let (mut warnings, mut failures) = (Notes::new(), Vec::new());
    let lost = match gather(tree, client, &spec.artifacts, &mut warnings) {
        Ok(Gathered { mut files, unmatched }) => {
            missing(spec.rules.missing, &unmatched, &mut warnings, &mut failures);
            let masked = mask(&mut files, secrets);
            if masked > 0 {
                collected.is_whole = false;
                warnings.push(format!("artifacts: names that hold a secret are masked: {masked}"));
            }
            record(client, claim, files, &mut collected.notes)?
        }
        Err(trouble) => Some(trouble.message()?),
    };
    if let Some(why) = lost {
        collected.is_whole = false;
        let text = format!("{}: the artifacts were not kept: {why}", codes::ARTIFACTS);
        match spec.rules.lost {
            LostArtifacts::Fail => failures.insert(0, text),
            LostArtifacts::Warn => warnings.push(text),
        }
    }
    for warning in warnings {
        let warning = secrets.text(&warning);
        client.record(claim, Record::Note(warning.clone()))?;
        collected.notes.push(warning);
    }
    collected.failure = (!failures.is_empty()).then(|| failures.join("; "));
    Ok(collected)
}

/// Masks secrets in the names of files; gives how many were masked. Names stay distinct.
fn mask(files: &mut [ArtifactFile], secrets: &Secrets) -> usize {
    let mut taken: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let mut count = 0;
    for file in files {
        let name = secrets.text(&file.path);
        if name == file.path {
            continue;
        }
        count += 1;
        let mut numbered = (1_usize..).map(|number| match number {
            1 => name.clone(),
            more => format!("{name}~{more}"),
        });
        if let Some(free) = numbered.find(|one| !taken.contains(one)) {
            taken.insert(free.clone());
            file.path = free;
        }
    }
    count
}

/// Notes globs without a match, or lets the step fail for them.
fn missing(
    rule: MissingArtifacts,
    unmatched: &[String],
    warnings: &mut Notes,
    failures: &mut Vec<String>,
) {
    if unmatched.is_empty() {
        return;
    }
    let globs = unmatched.join(", ");
    match rule {
        MissingArtifacts::Warn => warnings.push(format!("artifacts: nothing matches {globs}")),
        MissingArtifacts::Fail => failures
            .push(format!("{}: artifacts: nothing matches {globs}", codes::MISSING_ARTIFACTS)),
        MissingArtifacts::Ignore => {}
    }
}

/// Records the files; returns the reason if the engine refused them.
fn record(
    client: &ContentClient,
    claim: &Claim,
    files: Vec<ArtifactFile>,
    notes: &mut Notes,
) -> Result<Option<String>, DispatcherGone> {
    if files.is_empty() {
        return Ok(None);
    }
    let (count, bytes) = (files.len(), files.iter().map(|file| file.bytes).sum::<u64>());
    let refused = client.record(claim, Record::Artifacts(files))?;
    if refused.is_none() {
        notes.push(format!("artifacts: {count} kept, {bytes} bytes"));
    }
    Ok(refused)
}

/// Files in the workspace that globs name.
struct Gathered {
    files: Vec<ArtifactFile>,
    /// Globs that no file matches.
    unmatched: Vec<String>,
}

fn gather(
    tree: &WorkTree,
    client: &ContentClient,
    globs: &[String],
    warnings: &mut Notes,
) -> Result<Gathered, OutputError> {
    let mut unmatched = Unmatched::of(globs);
    let globs = Globs::new(globs).map_err(|error| OutputError::Message(error.to_string()))?;
    let (listing, confined) = (tree.list()?, tree.confined()?);
    let (mut files, mut bytes, mut left_out) = (Vec::new(), 0_u64, Vec::new());
    let mut paths = Vec::new();
    for (path, sig) in listing.iter().filter(|(path, sig)| !sig.is_folder() && globs.matches(path))
    {
        unmatched.saw(&globs, path);
        if !sig.is_file() {
            left_out.push(path_text(path));
            continue;
        }
        bytes += sig.size;
        if files.len() >= MAX_ARTIFACTS || bytes > MAX_BYTES {
            let message = format!(
                "they are more than {MAX_ARTIFACTS} files or {MAX_BYTES} bytes; pack them first"
            );
            return Err(OutputError::Message(message));
        }
        let (blob, size) = hash(confined.read(path)?)?;
        let executable = sig.is_executable();
        files.push(ArtifactFile { path: path_text(path), blob, bytes: size, executable });
        paths.push(path.as_slice());
    }
    if !left_out.is_empty() {
        let named = left_out.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let count = left_out.len();
        warnings.push(format!("artifacts: {count} left out, they are symbolic links: {named}"));
    }
    let contents: Vec<_> =
        paths.iter().zip(&files).map(|(path, file)| (*path, file.blob, file.bytes)).collect();
    let failed = upload(&confined, client, &contents)?;
    match failed.into_iter().next() {
        None => Ok(Gathered { files, unmatched: unmatched.globs() }),
        Some((_, why)) => Err(OutputError::Message(why)),
    }
}

/// Globs that have matched nothing so far.
struct Unmatched<'a>(Vec<Option<&'a str>>);

// === impl Unmatched ===

impl<'a> Unmatched<'a> {
    fn of(globs: &'a [String]) -> Self {
        let wanted = globs.iter().filter(|glob| !glob.starts_with('!'));
        Self(wanted.map(|glob| Some(glob.as_str())).collect())
    }

    fn saw(&mut self, globs: &Globs, path: &[u8]) {
        if self.0.iter().all(Option::is_none) {
            return;
        }
        for at in globs.wanted_by(path) {
            if let Some(glob) = self.0.get_mut(at) {
                *glob = None;
            }
        }
    }

    fn globs(self) -> Vec<String> {
        self.0.into_iter().flatten().map(str::to_owned).collect()
    }
}

/// Sends the files that the engine lacks; returns those that could not be sent, with the reasons.
pub(crate) fn upload(
    confined: &ConfinedDir,
    client: &ContentClient,
    contents: &[(&[u8], BlobHash, u64)],
) -> Result<Vec<(BlobHash, String)>, OutputError> {
    let all: Vec<_> = contents.iter().map(|(_, blob, _)| *blob).collect();
    let mut missing: std::collections::HashSet<_> = client.missing(&all)?.into_iter().collect();
    let (mut small, mut small_bytes, mut failed) = (Vec::new(), 0, Vec::new());
    for (path, blob, size) in contents {
        if !missing.remove(blob) {
            continue;
        }
        if *size > SMALL_BYTES {
            let sent = confined
                .read(path)
                .map_err(OutputError::from)
                .and_then(|file| client.put_file(file, *blob, *size));
            if let Err(trouble) = sent {
                failed.push((*blob, trouble.message()?));
            }
            continue;
        }
        match read_small(confined, path) {
            Ok(bytes) if BlobHash(Sha256::digest(&bytes).into()) == *blob => {
                small_bytes += bytes.len();
                small.push(bytes);
            }
            Ok(_) | Err(_) => failed.push((*blob, "a file changed while it was kept".to_owned())),
        }
        if small_bytes > 4 * 1024 * 1024 {
            client.put_many(std::mem::take(&mut small))?;
            small_bytes = 0;
        }
    }
    client.put_many(small)?;
    Ok(failed)
}

fn read_small(confined: &ConfinedDir, path: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    confined.read(path)?.take(SMALL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Restores the files of an earlier attempt, unless they are unchanged.
pub(crate) fn put_back(
    tree: &WorkTree,
    client: &ContentClient,
    files: &[ArtifactFile],
) -> Result<(), OutputError> {
    let confined = tree.confined()?;
    for file in files {
        let path = path_bytes(&file.path);
        let path = path.as_slice();
        if !is_inside(path) {
            return Err(OutputError::Message("a path leads outside".to_owned()));
        }
        let mode: u32 = if file.executable { 0o755 } else { 0o644 };
        let there = confined.stat(path)?;
        let is_same = there.is_some_and(|stat| (stat.st_mode & 0o111 != 0) == file.executable)
            && confined.read(path).and_then(hash).is_ok_and(|(blob, _)| blob == file.blob);
        if is_same {
            continue;
        }
        let mut trouble = None;
        let written = confined.write(path, mode, |to| {
            client.get(file.blob, to).map(|_| ()).map_err(|error| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_names_stay_distinct() {
        let file = |path: &str| ArtifactFile {
            path: path.to_owned(),
            blob: BlobHash([0; 32]),
            bytes: 1,
            executable: false,
        };
        let secrets = Secrets::new([b"hunter22".as_slice(), b"swordfish".as_slice()]);
        let mut files =
            [file("out/hunter22.txt"), file("out/swordfish.txt"), file("out/plain.txt")];
        assert_eq!(mask(&mut files, &secrets), 2);
        let names = files.map(|file| file.path);
        assert_eq!(names, ["out/***.txt", "out/***.txt~2", "out/plain.txt"]);
    }
}
