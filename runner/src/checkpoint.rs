//! Checkpoints: the changes of steps in the workspace, with the content before and after.
//!
//! The workspace is scanned when the runner gets its first attempt and after each attempt. Files
//! with the same size, inode and times as before are not read. Must not slow a run down: in a large
//! tree short steps get no checkpoint of their own.

mod index;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::Duration,
};

use plue_plan::StepId;
use plue_runtime::{Clock, clock::Mark};
use plue_wire::{
    eval::Bytes,
    outputs::{BlobHash, Change, Changes, CheckpointRecord, Entry, MAX_CHANGES, Record},
    runner::Claim,
};

use self::index::{Index, PathContent, PathState};
use crate::{
    artifact::upload,
    outputs::{
        AttemptSummary, ContentClient, DispatcherGone, Listing, Notes, OutputError, Sig, WorkTree,
        hash,
    },
};

/// Bytes of content of one checkpoint at most.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of content that are stored of a workspace at its first scan.
const MAX_FIRST_BYTES: u64 = 64 * 1024 * 1024;
/// Files that are stored at the first scan.
const MAX_FIRST_FILES: usize = 20_000;
/// Larger files are not stored at the first scan.
const MAX_FIRST_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Content that waits in memory until the first step has started.
const MAX_STAGED_BYTES: u64 = 16 * 1024 * 1024;
/// In trees up to so many paths every step has its checkpoint, however short it is.
const SMALL_TREE: usize = 5_000;
/// In larger trees scans take at most this part of the time of the steps.
const SCAN_SHARE: u32 = 4;
/// Nanoseconds before a scan in which a change may be followed by another one with the same times.
const RACY_NS: i128 = 20_000_000;

#[derive(Debug)]
pub(crate) struct Checkpoints {
    path: Option<PathBuf>,
    clock: Clock,
    index: Index,
    is_scanned: bool,
    /// No checkpoints for the rest of this run; the reason is in a log.
    is_off: bool,
    staged: Vec<Vec<u8>>,
    /// Duration of the last scan.
    scan_time: Duration,
    /// Time of the steps that ended since the last scan.
    unscanned: Duration,
    /// The steps that ran since the last scan.
    since: BTreeSet<StepId>,
    /// The states that the last scan replaced; `None` for a new path.
    replaced: Vec<(Vec<u8>, Option<PathState>)>,
}

/// Hashes of unchanged files.
#[derive(Debug)]
pub(crate) struct Hashes<'a>(&'a Index);

/// Changes between two scans.
#[derive(Debug, Default)]
struct Delta {
    list: Vec<Change>,
    /// Content to be sent: path, hash, bytes.
    contents: Vec<(Vec<u8>, BlobHash, u64)>,
    bytes: u64,
}

// === impl Hashes ===

impl Hashes<'_> {
    pub(crate) fn known(&self, path: &[u8], sig: &Sig) -> Option<BlobHash> {
        let seen = self.0.paths.get(path).filter(|seen| seen.sig == *sig && !seen.is_racy)?;
        seen.known.hash()
    }
}

// === impl Checkpoints ===

impl Checkpoints {
    pub(crate) fn new(path: Option<PathBuf>, clock: Clock) -> Self {
        Self {
            path,
            clock,
            index: Index::default(),
            is_scanned: false,
            is_off: false,
            staged: Vec::new(),
            scan_time: Duration::ZERO,
            unscanned: Duration::ZERO,
            since: BTreeSet::new(),
            replaced: Vec::new(),
        }
    }

    pub(crate) fn hashes(&self) -> Hashes<'_> {
        Hashes(&self.index)
    }

    /// Scans the workspace before the first step.
    pub(crate) fn begin(
        &mut self,
        tree: &WorkTree,
        client: &ContentClient,
        notes: &mut Notes,
    ) -> Result<(), DispatcherGone> {
        if std::mem::replace(&mut self.is_scanned, true) {
            return Ok(());
        }
        if let Some(path) = &self.path {
            self.index = Index::load(path);
        }
        match self.take_in(tree, client) {
            Ok(()) => {}
            Err(trouble) => {
                let why = trouble.message()?;
                notes.push(format!("checkpoints: off for this run: {why}"));
                self.is_off = true;
            }
        }
        Ok(())
    }

    fn take_in(&mut self, tree: &WorkTree, client: &ContentClient) -> Result<(), OutputError> {
        let began = self.clock.mark();
        let listing = self.scan(tree)?;
        let confined = tree.confined()?;
        let mut paths: BTreeMap<Vec<u8>, PathState> = BTreeMap::new();
        let old = std::mem::take(&mut self.index.paths);
        for (path, sig) in listing.0 {
            let known = match old.get(&path).filter(|seen| seen.sig == sig && !seen.is_racy) {
                Some(seen) => seen.known.clone(),
                None => PathContent::of(&sig, || confined.link_text(&path)),
            };
            paths.insert(path, PathState { sig, known, is_racy: sig.ctime_ns >= listing.1 });
        }
        self.index.paths = paths;
        self.take_content(tree, client)?;
        self.scan_time = self.clock.elapsed(began);
        Ok(())
    }

    /// Stores files before steps change them: those that no `.gitignore` excludes.
    fn take_content(&mut self, tree: &WorkTree, client: &ContentClient) -> Result<(), OutputError> {
        let is_unknown =
            |seen: &PathState| matches!(seen.known, PathContent::File { hash: None, .. });
        if !self.index.paths.values().any(is_unknown) {
            return Ok(());
        }
        let confined = tree.confined()?;
        let (mut bytes, mut staged, mut direct) = (0, 0, Vec::new());
        for path in tree.sources().into_iter().take(MAX_FIRST_FILES) {
            let Some(seen) = self.index.paths.get_mut(&path) else { continue };
            let size = seen.sig.size;
            let fits = size <= MAX_FIRST_FILE_BYTES && bytes + size <= MAX_FIRST_BYTES;
            if !is_unknown(seen) || !fits {
                continue;
            }
            let Ok(mut file) = confined.read(&path) else { continue };
            if staged + size <= MAX_STAGED_BYTES {
                let mut content = Vec::new();
                io::Read::read_to_end(&mut file, &mut content)?;
                let (blob, _) = hash(content.as_slice())?;
                seen.known = PathContent::File { hash: Some(blob), kept: true };
                staged += content.len() as u64;
                self.staged.push(content);
            } else {
                let (blob, size) = hash(file)?;
                seen.known = PathContent::File { hash: Some(blob), kept: true };
                direct.push((path, blob, size));
            }
            bytes += size;
        }
        self.send(&confined, client, &direct).map(|_| ())
    }

    fn send(
        &self,
        confined: &plue_runtime::ConfinedDir,
        client: &ContentClient,
        contents: &[(Vec<u8>, BlobHash, u64)],
    ) -> Result<Vec<BlobHash>, OutputError> {
        let contents: Vec<_> =
            contents.iter().map(|(path, blob, size)| (path.as_slice(), *blob, *size)).collect();
        let failed = upload(confined, client, &contents)?;
        Ok(failed.into_iter().map(|(blob, _)| blob).collect())
    }

    /// Sends content that waits in memory; it stays there while there is no engine. The step runs
    /// meanwhile.
    pub(crate) fn settle(
        &mut self,
        _place: &WorkTree,
        client: &ContentClient,
    ) -> Result<(), DispatcherGone> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let mut hashes = Vec::new();
        for content in &self.staged {
            hashes.push(hash(content.as_slice()).map_err(|_| DispatcherGone)?.0);
        }
        let missing: BTreeSet<_> = client.missing(&hashes)?.into_iter().collect();
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (content, blob) in self.staged.iter().zip(hashes) {
            if !missing.contains(&blob) {
                continue;
            }
            let content = content.clone();
            if content.len() > plue_wire::outputs::MAX_PART_BYTES / 2 {
                large.push(content);
            } else {
                small.push(content);
            }
        }
        let mut sent = client.put_many(small);
        for content in large {
            sent = sent.and_then(|()| client.put(&content).map(|_| ()));
        }
        if !client.was_offline() {
            self.staged.clear();
        }
        match sent {
            Err(OutputError::DispatcherGone) => Err(DispatcherGone),
            // Missing content is found out when a change needs it.
            Ok(()) | Err(OutputError::Message(_)) => Ok(()),
        }
    }

    /// Everything in the workspace, and the time from which on a change is racy.
    fn scan(&mut self, tree: &WorkTree) -> io::Result<(Listing, i128)> {
        let now = i128::from(self.clock.now().as_microsecond()) * 1_000;
        Ok((tree.list()?, now - RACY_NS))
    }

    /// Records the changes of an attempt.
    pub(crate) fn after(
        &mut self,
        tree: &WorkTree,
        client: &ContentClient,
        claim: &Claim,
        summary: &AttemptSummary,
        notes: &mut Notes,
    ) -> Result<(), DispatcherGone> {
        if self.is_off || !self.is_scanned {
            return Ok(());
        }
        self.settle(tree, client)?;
        self.since.insert(summary.step.clone());
        self.since.extend(summary.running.iter().cloned());
        self.unscanned += summary.wall;
        let is_large = self.index.paths.len() > SMALL_TREE;
        // After a failure, users retry from here.
        if is_large && summary.is_success && self.scan_time > self.unscanned / SCAN_SHARE {
            return Ok(());
        }
        let began = self.clock.mark();
        let outcome = self.store_changes(tree, client, claim);
        if client.was_offline() {
            self.forget_scan();
            return Ok(());
        }
        self.note_scan(began, summary);
        if let Err(trouble) = outcome {
            let why = trouble.message()?;
            let record = CheckpointRecord {
                steps: vec![summary.step.clone()],
                changes: None,
                files: 0,
                bytes: 0,
                note: Some(why.clone()),
            };
            client.record(claim, Record::Checkpoint(record))?;
            notes.push(format!("checkpoint: left out: {why}"));
        }
        Ok(())
    }

    /// Undoes the last scan, which no engine took: the next one finds its changes again.
    fn forget_scan(&mut self) {
        for (path, seen) in std::mem::take(&mut self.replaced) {
            match seen {
                Some(seen) => self.index.paths.insert(path, seen),
                None => self.index.paths.remove(&path),
            };
        }
    }

    fn note_scan(&mut self, began: Mark, summary: &AttemptSummary) {
        self.scan_time = self.clock.elapsed(began);
        self.unscanned = Duration::ZERO;
        self.since = summary.running.iter().cloned().collect();
        self.replaced.clear();
    }

    fn store_changes(
        &mut self,
        tree: &WorkTree,
        client: &ContentClient,
        claim: &Claim,
    ) -> Result<(), OutputError> {
        let mut delta = self.compare(tree)?;
        if delta.list.is_empty() {
            return Ok(());
        }
        if delta.list.len() > MAX_CHANGES || delta.bytes > MAX_BYTES {
            return Err(OutputError::Message(format!(
                "{} paths with {} bytes changed, more than the limits of {MAX_CHANGES} and {MAX_BYTES}",
                delta.list.len(),
                delta.bytes
            )));
        }
        let failed = self.send(&tree.confined()?, client, &delta.contents)?;
        let befores: Vec<_> =
            delta.list.iter().filter_map(|change| change.before.as_ref()?.kept()).collect();
        let missing = client.missing(&befores)?;
        let lost: BTreeSet<_> = failed.into_iter().chain(missing).collect();
        for change in &mut delta.list {
            for entry in [&mut change.before, &mut change.after].into_iter().flatten() {
                if let Entry::File { hash: Some(hash), kept, .. } = entry {
                    *kept &= !lost.contains(hash);
                }
            }
        }
        let (files, bytes) = (delta.list.len() as u64, delta.bytes);
        let changes = Changes { version: Changes::VERSION, list: delta.list };
        let encoded = changes.encode().map_err(|error| OutputError::Message(error.to_string()))?;
        let changes = Some(client.put(&encoded)?);
        if client.was_offline() {
            return Err(OutputError::Message("no engine was there for a while".to_owned()));
        }
        let steps = self.since.iter().cloned().collect();
        let record = CheckpointRecord { steps, changes, files, bytes, note: None };
        match client.record(claim, Record::Checkpoint(record))? {
            None => Ok(()),
            Some(why) => Err(OutputError::Message(why)),
        }
    }

    /// The changes since the last scan; updates the index.
    fn compare(&mut self, tree: &WorkTree) -> Result<Delta, OutputError> {
        let (listing, racy_from) = self.scan(tree)?;
        let confined = tree.confined()?;
        let mut delta = Delta::default();
        self.replaced.clear();
        let gone: Vec<_> =
            self.index.paths.keys().filter(|path| !listing.contains_key(*path)).cloned().collect();
        for path in gone {
            let seen = self.index.paths.remove(&path);
            let before = seen.as_ref().map(PathState::entry);
            self.replaced.push((path.clone(), seen));
            delta.list.push(Change { path: Bytes(path), before, after: None });
        }
        for (path, sig) in listing {
            let old = self.index.paths.get(&path);
            if old.is_some_and(|seen| seen.sig == sig && !seen.is_racy) {
                continue;
            }
            let mut known = PathContent::of(&sig, || confined.link_text(&path));
            if let PathContent::File { hash: content, kept } = &mut known {
                // Gone or changed again at this moment: the next scan finds out.
                let Ok((found, _)) = confined.read(&path).and_then(hash) else { continue };
                (*content, *kept) = (Some(found), true);
            }
            let seen = PathState { sig, known, is_racy: sig.ctime_ns >= racy_from };
            let (before, after) = (old.map(PathState::entry), seen.entry());
            let is_same = before.as_ref().is_some_and(|before| before.is_same(&after));
            if let (false, Some(hash)) = (is_same, seen.known.hash()) {
                delta.contents.push((path.clone(), hash, sig.size));
                delta.bytes += sig.size;
            }
            if !is_same {
                let path = Bytes(path.clone());
                delta.list.push(Change { path, before, after: Some(after) });
            }
            let old = self.index.paths.insert(path.clone(), seen);
            self.replaced.push((path, old));
        }
        delta.list.sort_by(|a, b| a.path.0.cmp(&b.path.0));
        Ok(delta)
    }

    /// Stores the index for the next runner.
    pub(crate) fn save(&self) {
        if let (Some(path), true, false) = (&self.path, self.is_scanned, self.is_off) {
            self.index.save(path);
        }
    }
}
