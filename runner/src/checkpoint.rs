//! Checkpoints: what the steps changed in the workspace, with the content from before and after.
//!
//! The workspace is looked at when the runner gets its first attempt and after each attempt. What has
//! the same size, inode and times as before is not read. Must not slow a run down for long: in a large
//! tree short steps are left out, and that is told.

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
    keep::{BlobHash, Change, Changes, CheckpointRecord, Entry, MAX_CHANGES, Record},
    runner::Claim,
};

use self::index::{Index, Known, Seen};
use crate::{
    artifact::upload,
    keeper::{After, Engine, Gone, Listing, Notes, Sig, Trouble, Workplace, hash},
};

/// Bytes of content that one checkpoint keeps at most.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of content that are kept of a workspace that plue sees for the first time.
const MAX_FIRST_BYTES: u64 = 64 * 1024 * 1024;
/// Files that are kept of it.
const MAX_FIRST_FILES: usize = 20_000;
/// Larger files of it are not.
const MAX_FIRST_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Content that waits in memory until the first step has started.
const MAX_STAGED_BYTES: u64 = 16 * 1024 * 1024;
/// In trees up to so many paths every step has its checkpoint, however short it is.
const SMALL_TREE: usize = 5_000;
/// In larger ones looking takes at most this part of the time that the steps take.
const LOOKING_SHARE: u32 = 4;
/// What changed so short before a look may change again without a trace.
const RACY_NS: i128 = 20_000_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    path: Option<PathBuf>,
    clock: Clock,
    index: Index,
    has_begun: bool,
    /// Nothing is kept of this run any more: why was told.
    is_off: bool,
    staged: Vec<Vec<u8>>,
    /// How long the last look took.
    look: Duration,
    /// Time of the steps that ended since.
    unlooked: Duration,
    /// Those steps.
    since: BTreeSet<StepId>,
    /// What the last look took the place of; `None` for a path that was new.
    replaced: Vec<(Vec<u8>, Option<Seen>)>,
}

/// Hashes that are known without reading.
#[derive(Debug)]
pub(crate) struct Hashes<'a>(&'a Index);

/// Changes between two looks.
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
            has_begun: false,
            is_off: false,
            staged: Vec::new(),
            look: Duration::ZERO,
            unlooked: Duration::ZERO,
            since: BTreeSet::new(),
            replaced: Vec::new(),
        }
    }

    pub(crate) fn hashes(&self) -> Hashes<'_> {
        Hashes(&self.index)
    }

    /// Takes the workspace in as it is before the first step.
    pub(crate) fn begin(
        &mut self,
        place: &Workplace,
        engine: &Engine,
        notes: &mut Notes,
    ) -> Result<(), Gone> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        if let Some(path) = &self.path {
            self.index = Index::load(path);
        }
        match self.take_in(place, engine) {
            Ok(()) => {}
            Err(trouble) => {
                let why = trouble.told()?;
                notes.push(format!("checkpoints: off for this run: {why}"));
                self.is_off = true;
            }
        }
        Ok(())
    }

    fn take_in(&mut self, place: &Workplace, engine: &Engine) -> Result<(), Trouble> {
        let began = self.clock.mark();
        let listing = self.look(place)?;
        let beneath = place.beneath()?;
        let mut paths: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
        let old = std::mem::take(&mut self.index.paths);
        for (path, sig) in listing.0 {
            let known = match old.get(&path).filter(|seen| seen.sig == sig && !seen.is_racy) {
                Some(seen) => seen.known.clone(),
                None => Known::of(&sig, || beneath.link_text(&path)),
            };
            paths.insert(path, Seen { sig, known, is_racy: sig.ctime_ns >= listing.1 });
        }
        self.index.paths = paths;
        self.take_content(place, engine)?;
        self.look = self.clock.elapsed(began);
        Ok(())
    }

    /// Keeps what steps may change before it is changed: files that no `.gitignore` leaves out.
    fn take_content(&mut self, place: &Workplace, engine: &Engine) -> Result<(), Trouble> {
        let is_unknown = |seen: &Seen| matches!(seen.known, Known::File { hash: None, .. });
        if !self.index.paths.values().any(is_unknown) {
            return Ok(());
        }
        let beneath = place.beneath()?;
        let (mut bytes, mut staged, mut direct) = (0, 0, Vec::new());
        for path in place.sources().into_iter().take(MAX_FIRST_FILES) {
            let Some(seen) = self.index.paths.get_mut(&path) else { continue };
            let size = seen.sig.size;
            let fits = size <= MAX_FIRST_FILE_BYTES && bytes + size <= MAX_FIRST_BYTES;
            if !is_unknown(seen) || !fits {
                continue;
            }
            let Ok(mut file) = beneath.read(&path) else { continue };
            if staged + size <= MAX_STAGED_BYTES {
                let mut content = Vec::new();
                io::Read::read_to_end(&mut file, &mut content)?;
                let (blob, _) = hash(content.as_slice())?;
                seen.known = Known::File { hash: Some(blob), kept: true };
                staged += content.len() as u64;
                self.staged.push(content);
            } else {
                let (blob, size) = hash(file)?;
                seen.known = Known::File { hash: Some(blob), kept: true };
                direct.push((path, blob, size));
            }
            bytes += size;
        }
        self.send(&beneath, engine, &direct).map(|_| ())
    }

    fn send(
        &self,
        beneath: &plue_runtime::Beneath,
        engine: &Engine,
        contents: &[(Vec<u8>, BlobHash, u64)],
    ) -> Result<Vec<BlobHash>, Trouble> {
        let contents: Vec<_> =
            contents.iter().map(|(path, blob, size)| (path.as_slice(), *blob, *size)).collect();
        let failed = upload(beneath, engine, &contents)?;
        Ok(failed.into_iter().map(|(blob, _)| blob).collect())
    }

    /// Sends what waits in memory, unless no engine is there: then it goes on waiting. The step runs
    /// meanwhile.
    pub(crate) fn settle(&mut self, _place: &Workplace, engine: &Engine) -> Result<(), Gone> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let mut hashes = Vec::new();
        for content in &self.staged {
            hashes.push(hash(content.as_slice()).map_err(|_| Gone)?.0);
        }
        let missing: BTreeSet<_> = engine.missing(&hashes)?.into_iter().collect();
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (content, blob) in self.staged.iter().zip(hashes) {
            if !missing.contains(&blob) {
                continue;
            }
            let content = content.clone();
            if content.len() > plue_wire::keep::MAX_PART_BYTES / 2 {
                large.push(content);
            } else {
                small.push(content);
            }
        }
        let mut sent = engine.put_many(small);
        for content in large {
            sent = sent.and_then(|()| engine.put(&content).map(|_| ()));
        }
        if !engine.was_away() {
            self.staged.clear();
        }
        match sent {
            Err(Trouble::Gone) => Err(Gone),
            // What is not there is found missing when a change needs it.
            Ok(()) | Err(Trouble::Told(_)) => Ok(()),
        }
    }

    /// Everything in the workspace, and the time from which on a change may be unfinished.
    fn look(&mut self, place: &Workplace) -> io::Result<(Listing, i128)> {
        let now = i128::from(self.clock.now().as_microsecond()) * 1_000;
        Ok((place.list()?, now - RACY_NS))
    }

    /// Notes what an attempt has changed.
    pub(crate) fn after(
        &mut self,
        (place, engine): (&Workplace, &Engine),
        (claim, after): (&Claim, &After),
        notes: &mut Notes,
    ) -> Result<(), Gone> {
        if self.is_off || !self.has_begun {
            return Ok(());
        }
        self.settle(place, engine)?;
        self.since.insert(after.step.clone());
        self.since.extend(after.running.iter().cloned());
        self.unlooked += after.wall;
        let is_large = self.index.paths.len() > SMALL_TREE;
        // After a failure somebody will want to go on from here.
        if is_large && after.is_success && self.look > self.unlooked / LOOKING_SHARE {
            return Ok(());
        }
        let began = self.clock.mark();
        let outcome = self.keep((place, engine), claim);
        if engine.was_away() {
            self.forget_look();
            return Ok(());
        }
        self.looked(began, after);
        if let Err(trouble) = outcome {
            let why = trouble.told()?;
            let record = CheckpointRecord {
                steps: vec![after.step.clone()],
                changes: None,
                files: 0,
                bytes: 0,
                note: Some(why.clone()),
            };
            engine.keep(claim, Record::Checkpoint(record))?;
            notes.push(format!("checkpoint: left out: {why}"));
        }
        Ok(())
    }

    /// Nobody took what the last look found: the next one finds it again, for these steps too.
    fn forget_look(&mut self) {
        for (path, seen) in std::mem::take(&mut self.replaced) {
            match seen {
                Some(seen) => self.index.paths.insert(path, seen),
                None => self.index.paths.remove(&path),
            };
        }
    }

    fn looked(&mut self, began: Mark, after: &After) {
        self.look = self.clock.elapsed(began);
        self.unlooked = Duration::ZERO;
        self.since = after.running.iter().cloned().collect();
        self.replaced.clear();
    }

    fn keep(
        &mut self,
        (place, engine): (&Workplace, &Engine),
        claim: &Claim,
    ) -> Result<(), Trouble> {
        let mut delta = self.compare(place)?;
        if delta.list.is_empty() {
            return Ok(());
        }
        if delta.list.len() > MAX_CHANGES || delta.bytes > MAX_BYTES {
            return Err(Trouble::Told(format!(
                "{} paths with {} bytes changed, more than the limits of {MAX_CHANGES} and {MAX_BYTES}",
                delta.list.len(),
                delta.bytes
            )));
        }
        let failed = self.send(&place.beneath()?, engine, &delta.contents)?;
        let befores: Vec<_> =
            delta.list.iter().filter_map(|change| change.before.as_ref()?.kept()).collect();
        let missing = engine.missing(&befores)?;
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
        let encoded = changes.encode().map_err(|error| Trouble::Told(error.to_string()))?;
        let changes = Some(engine.put(&encoded)?);
        if engine.was_away() {
            return Err(Trouble::Told("no engine was there for a while".to_owned()));
        }
        let steps = self.since.iter().cloned().collect();
        let record = CheckpointRecord { steps, changes, files, bytes, note: None };
        match engine.keep(claim, Record::Checkpoint(record))? {
            None => Ok(()),
            Some(why) => Err(Trouble::Told(why)),
        }
    }

    /// What differs from the last look; from now on this is the last look.
    fn compare(&mut self, place: &Workplace) -> Result<Delta, Trouble> {
        let (listing, racy_from) = self.look(place)?;
        let beneath = place.beneath()?;
        let mut delta = Delta::default();
        self.replaced.clear();
        let gone: Vec<_> =
            self.index.paths.keys().filter(|path| !listing.contains_key(*path)).cloned().collect();
        for path in gone {
            let seen = self.index.paths.remove(&path);
            let before = seen.as_ref().map(Seen::entry);
            self.replaced.push((path.clone(), seen));
            delta.list.push(Change { path: Bytes(path), before, after: None });
        }
        for (path, sig) in listing {
            let old = self.index.paths.get(&path);
            if old.is_some_and(|seen| seen.sig == sig && !seen.is_racy) {
                continue;
            }
            let mut known = Known::of(&sig, || beneath.link_text(&path));
            if let Known::File { hash: content, kept } = &mut known {
                // Gone or changed again in this moment: the next look tells.
                let Ok((found, _)) = beneath.read(&path).and_then(hash) else { continue };
                (*content, *kept) = (Some(found), true);
            }
            let seen = Seen { sig, known, is_racy: sig.ctime_ns >= racy_from };
            let (before, after) = (old.map(Seen::entry), seen.entry());
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

    /// Writes down what is known of the workspace, for the next runner.
    pub(crate) fn save(&self) {
        if let (Some(path), true, false) = (&self.path, self.has_begun, self.is_off) {
            self.index.save(path);
        }
    }
}
