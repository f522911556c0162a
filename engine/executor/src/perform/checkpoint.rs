//! Restores files to their state before steps that run again.
//!
//! The workspace of a local run is a person's own working tree, so only changes of those steps are undone,
//! and only if the files were not changed since; see docs/decisions/0016. Must not touch anything else.

mod rebuild;
mod target;

pub(crate) use self::rebuild::rebuild;

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use plue_plan::{RunId, StepId};
use plue_runtime::ConfinedDir;
use plue_store::{CheckpointKind, Store};
use plue_wire::{
    eval::Bytes,
    outputs::{BlobHash, Change, Changes, Entry, MAX_CHANGES_BYTES, MAX_PART_BYTES},
};
use sha2::{Digest as _, Sha256};

use self::target::{Interval, Target};
use crate::error::Error;

/// The file type bits of a mode, and two of their values.
const FORMAT: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// Most paths in one message.
const MAX_NAMED: usize = 10;

/// The handling of files that were changed outside of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Restore nothing; the run does not continue.
    #[default]
    Refuse,
    /// Restore them too, after copying their current content aside.
    Force,
}

/// The run for which files are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestoreFor {
    /// The run of the checkpoints; the restore becomes part of its history.
    SameRun,
    /// A new run from the same start; the history stays unchanged, and files are copied aside.
    OtherRun,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Number of restored paths.
    pub files: usize,
    /// Paths that steps which run again changed together with others; they stay unchanged.
    pub shared: Vec<String>,
    /// The folder with copies of overwritten files.
    pub aside: Option<PathBuf>,
}

/// Restores the files of a workspace for the steps that run again.
///
/// # Errors
/// [`Error::Conflict`] if files were changed outside of the run; [`Error::Store`]; a file cannot be
/// written. A repeated call continues after the files that were restored until then.
pub(crate) async fn restore(
    (store, workspace): (&Store, &Path),
    (run, again, restore_for): (&RunId, &[StepId], RestoreFor),
    (on_conflict, aside): (OnConflict, &Path),
) -> Result<Restored, Error> {
    let intervals = intervals(store, run).await?;
    if intervals.is_empty() {
        return Ok(Restored::default());
    }
    let found = target::targets(&intervals, again);
    let mut restored = Restored { shared: found.shared, ..Restored::default() };
    let state = |source| Error::State { path: workspace.to_owned(), source };
    let confined = ConfinedDir::open(workspace).map_err(state)?;
    let (mut open, mut outside, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    let all = found.targets.clone();
    remove_drafts(&confined, &all).map_err(state)?;
    for target in found.targets {
        let now = entry_at(&confined, &target.path).map_err(state)?;
        if is_same(now.as_ref(), target.wanted.as_ref()) {
            continue;
        }
        if needs_content(&target) && !has_content(store, &target).await? {
            lost.push(name(&target.path));
            continue;
        }
        if !is_same(now.as_ref(), target.last.as_ref()) && !is_half_way(now.as_ref(), &target) {
            outside.push(name(&target.path));
        }
        open.push((target, now));
    }
    if !lost.is_empty() || (!outside.is_empty() && on_conflict == OnConflict::Refuse) {
        outside.truncate(MAX_NAMED);
        lost.truncate(MAX_NAMED);
        return Err(Error::Conflict { run: run.clone(), outside, lost });
    }
    if !outside.is_empty() || restore_for == RestoreFor::OtherRun && !open.is_empty() {
        copy_aside(&confined, &open, aside).map_err(state)?;
        restored.aside = Some(aside.to_owned());
    }
    restored.files = open.len();
    put_back((store, &confined), &open, state).await?;
    if !all.is_empty() && restore_for == RestoreFor::SameRun {
        // Including files that a killed call had restored.
        record((store, run), all).await?;
    }
    Ok(restored)
}

async fn intervals(store: &Store, run: &RunId) -> Result<Vec<Interval>, Error> {
    let mut intervals = Vec::new();
    for row in store.checkpoints().list(run).await? {
        let Some(blob) = row.changes else { continue };
        let bytes = store.blobs().whole(&blob, MAX_CHANGES_BYTES).await?;
        let changes = bytes.and_then(|bytes| Changes::decode(&bytes).ok());
        let Some(changes) = changes else {
            let message = format!("checkpoint {} is not there any more", row.seq);
            return Err(Error::Corrupt { run: run.clone(), message });
        };
        let is_restore = row.kind == CheckpointKind::Restored;
        intervals.push(Interval { steps: row.steps, is_restore, changes: changes.list });
    }
    Ok(intervals)
}

/// Removes partial files of a killed call.
fn remove_drafts(confined: &ConfinedDir, targets: &[Target]) -> io::Result<()> {
    let folder = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let mut looked = BTreeSet::new();
    for target in targets {
        if looked.insert(&target.path[..folder(&target.path)]) {
            confined.remove_drafts(&target.path)?;
        }
    }
    Ok(())
}

/// Whether [`put_back`] passes through this state: a killed call left it, and no work is lost with it.
fn is_half_way(now: Option<&Entry>, target: &Target) -> bool {
    match (now, &target.last, &target.wanted) {
        // Removed, so that something of another kind can take its place; a link is never overwritten.
        (None, Some(last), Some(wanted)) => !matches!(
            (last, wanted),
            (Entry::File { .. }, Entry::File { .. }) | (Entry::Folder { .. }, Entry::Folder { .. })
        ),
        // Created without its permissions yet.
        (Some(Entry::Folder { .. }), last, Some(Entry::Folder { .. })) => {
            !matches!(last, Some(Entry::Folder { .. }))
        }
        (_, _, _) => false,
    }
}

fn needs_content(target: &Target) -> bool {
    matches!(target.wanted, Some(Entry::File { .. }))
}

async fn has_content(store: &Store, target: &Target) -> Result<bool, Error> {
    match target.wanted.as_ref().and_then(Entry::kept) {
        Some(blob) => Ok(store.blobs().missing(&[blob]).await?.is_empty()),
        None => Ok(false),
    }
}

/// The current entry of a path.
fn entry_at(confined: &ConfinedDir, path: &[u8]) -> io::Result<Option<Entry>> {
    let Some(stat) = confined.stat(path)? else { return Ok(None) };
    let mode = stat.st_mode & 0o7777;
    Ok(Some(match stat.st_mode & FORMAT {
        FOLDER => Entry::Folder { mode },
        LINK => Entry::Link(Bytes(confined.link_text(path)?)),
        _ => {
            let mut hasher = Sha256::new();
            let size = io::copy(&mut confined.read(path)?, &mut hasher)?;
            let hash = Some(BlobHash(hasher.finalize().into()));
            Entry::File { mode, size, hash, kept: false }
        }
    }))
}

fn is_same(one: Option<&Entry>, other: Option<&Entry>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is_same(other),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn copy_aside(
    confined: &ConfinedDir,
    open: &[(Target, Option<Entry>)],
    aside: &Path,
) -> io::Result<()> {
    std::fs::create_dir_all(aside)?;
    let copies = ConfinedDir::open(aside)?;
    for (target, now) in open {
        match now {
            Some(Entry::File { mode, .. }) => {
                let mut from = confined.read(&target.path)?;
                copies.write(&target.path, *mode, |to| io::copy(&mut from, to).map(|_| ()))?;
            }
            Some(Entry::Link(text)) => copies.link(&target.path, &text.0)?,
            Some(Entry::Folder { .. }) | None => {}
        }
    }
    Ok(())
}

/// Removes entries, the deepest first; then creates folders and files.
async fn put_back(
    (store, confined): (&Store, &ConfinedDir),
    open: &[(Target, Option<Entry>)],
    failed: impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    for (target, now) in open.iter().rev() {
        let is_folder = matches!(now, Some(Entry::Folder { .. }));
        let becomes_folder = matches!(target.wanted, Some(Entry::Folder { .. }));
        if target.wanted.is_none() || is_folder != becomes_folder {
            let removed = confined.remove(&target.path);
            // A folder with foreign files stays.
            if let (Err(error), false) = (removed, is_folder) {
                return Err(failed(error));
            }
        }
    }
    for (target, _) in open {
        match &target.wanted {
            None => {}
            Some(Entry::Folder { mode }) => {
                confined.folder(&target.path, *mode).map_err(&failed)?
            }
            Some(Entry::Link(text)) => confined.link(&target.path, &text.0).map_err(&failed)?,
            Some(entry @ Entry::File { mode, .. }) => {
                let Some(blob) = entry.kept() else { continue };
                let content = read_whole(store, &blob).await?;
                let written = confined.write(&target.path, *mode, |file| file.write_all(&content));
                written.map_err(&failed)?;
            }
        }
    }
    Ok(())
}

/// Reads a file of a checkpoint into memory; checkpoints have no large files.
async fn read_whole(store: &Store, blob: &BlobHash) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    if let Some(mut reader) = store.blobs().reader(blob).await? {
        while let Some(part) = reader.next(MAX_PART_BYTES).await? {
            content.extend(part);
        }
    }
    Ok(content)
}

/// Records the restore as a checkpoint, from which the next restore starts.
async fn record((store, run): (&Store, &RunId), targets: Vec<Target>) -> Result<(), Error> {
    let files = targets.len() as u64;
    let change = |target: Target| Change {
        path: Bytes(target.path),
        before: target.last,
        after: target.wanted,
    };
    let list = targets.into_iter().map(change).collect();
    let changes = Changes { version: Changes::VERSION, list };
    let bytes = changes
        .encode()
        .map_err(|error| Error::Corrupt { run: run.clone(), message: error.to_string() })?;
    let blob = store.blobs().put(&bytes).await?;
    Ok(store.checkpoints().put_restored(run, blob, files).await?)
}

fn name(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
