//! The keeper: one thread that reads and writes the workspace for what is kept of attempts.
//!
//! Before a step it restores a cache or a known result, after it it collects artifacts, fills caches
//! and notes what has changed. It talks to the engine through the dispatcher, one question at a time.
//! Only artifacts that cannot be kept fail a step; its log notes anything else that is not kept.

pub(crate) mod desk;
mod engine;
mod workplace;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use plue_plan::StepId;
use plue_runtime::{Clock, mask::Secrets};
use plue_wire::{
    keep::{BlobHash, Care, Record},
    runner::Claim,
};
use tokio::sync::mpsc;

pub(crate) use self::{
    engine::{Engine, SMALL_BYTES, Scratch, hash},
    workplace::{Globs, Listing, Sig, Workplace},
};
use crate::{
    artifact,
    attempt::Report,
    cache::{self, CacheUse},
    checkpoint::Checkpoints,
};

/// What the dispatcher wants done.
#[derive(Debug)]
pub(crate) enum Job {
    /// Whatever comes before the process of an attempt.
    Before(Claim, Box<Care>),
    /// Whatever comes after it, before its result is told.
    After(Claim, Box<Care>, Box<After>),
}

/// How an attempt went.
#[derive(Debug)]
pub(crate) struct After {
    /// Its step.
    pub(crate) step: StepId,
    /// Steps that still run.
    pub(crate) running: Vec<StepId>,
    /// Whether it exited with 0.
    pub(crate) is_success: bool,
    /// Whether it came to an end by itself or by its timeout.
    pub(crate) has_ended: bool,
    /// How long it ran.
    pub(crate) wall: Duration,
    /// Secrets to mask in names and notes.
    pub(crate) secrets: Secrets,
}

/// What came of [`Job::Before`].
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Start the process.
    Run,
    /// An earlier attempt did the same: its output, as JSON.
    Reuse(String),
}

/// Lines for the log of an attempt.
pub(crate) type Notes = Vec<String>;

/// Where the keeper works.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// For files of its own.
    pub(crate) scratch: PathBuf,
    /// What is remembered of the workspace between runs.
    pub(crate) index: Option<PathBuf>,
}

/// The keeper's own state.
struct Keeper {
    engine: Engine,
    reports: mpsc::Sender<Report>,
    place: Workplace,
    checkpoints: Checkpoints,
    /// What was found before the process, by claim.
    begun: HashMap<Claim, Begun>,
}

/// What the second half of an attempt must know of the first.
#[derive(Debug, Default)]
struct Begun {
    cache: Option<CacheUse>,
    pure: Option<BlobHash>,
}

/// The body of the thread.
pub(crate) fn work(
    places: &Places,
    clock: Clock,
    engine: Engine,
    (mut jobs, reports): (mpsc::Receiver<Job>, mpsc::Sender<Report>),
) {
    let place = Workplace::open(places);
    let checkpoints = Checkpoints::new(places.index.clone(), clock);
    let mut keeper = Keeper { engine, reports, place, checkpoints, begun: HashMap::new() };
    while let Some(job) = jobs.blocking_recv() {
        let told = match job {
            Job::Before(claim, care) => keeper.before(claim, &care),
            Job::After(claim, care, after) => keeper.after(claim, &care, &after),
        };
        if told.is_err() {
            break;
        }
    }
    keeper.checkpoints.save();
}

// === impl Keeper ===

impl Keeper {
    fn before(&mut self, claim: Claim, care: &Care) -> Result<(), Gone> {
        let mut notes = Notes::new();
        if care.checkpoint {
            self.checkpoints.begin(&self.place, &self.engine, &mut notes)?;
        }
        let mut begun = Begun::default();
        let mut prepared = Prepared::Run;
        if let Some(pure) = &care.pure {
            let found = self.place.tree_hash(&care.artifacts, &mut self.checkpoints.hashes());
            match found {
                Ok(tree) => {
                    let key = workplace::pure_key(pure, &tree);
                    begun.pure = Some(key);
                    prepared = self.reuse(&claim, key, &mut notes)?;
                }
                Err(error) => notes.push(format!("pure: the workspace cannot be read: {error}")),
            }
        }
        if let (Prepared::Run, Some(wish)) = (&prepared, &care.cache) {
            let place = &mut self.place;
            begun.cache = cache::restore(place, &self.engine, (&claim, wish), &mut notes)?;
        }
        if matches!(prepared, Prepared::Run) {
            self.begun.insert(claim.clone(), begun);
        }
        let report = Report::Prepared(claim, prepared, notes);
        self.reports.blocking_send(report).map_err(|_| Gone)?;
        // The process runs by now; its result must not wait behind this.
        self.checkpoints.settle(&self.place, &self.engine.impatient())
    }

    /// The result of an earlier attempt, if there is one and its files can be put here.
    fn reuse(&self, claim: &Claim, key: BlobHash, notes: &mut Notes) -> Result<Prepared, Gone> {
        let Some(found) = self.engine.find_pure(claim, key)? else { return Ok(Prepared::Run) };
        if let Err(error) = artifact::put_back(&self.place, &self.engine, &found.artifacts) {
            let why = error.told()?;
            notes.push(format!("pure: the files of {} cannot be put back: {why}", found.from));
            return Ok(Prepared::Run);
        }
        let kept = Record::Artifacts(found.artifacts);
        if let Some(refused) = self.engine.keep(claim, kept)? {
            notes.push(format!("pure: {refused}"));
            return Ok(Prepared::Run);
        }
        let note = format!("pure: nothing has changed since {}; its result was taken", found.from);
        self.engine.keep(claim, Record::Note(note.clone()))?;
        notes.push(note);
        Ok(Prepared::Reuse(found.output_json))
    }

    fn after(&mut self, claim: Claim, care: &Care, after: &After) -> Result<(), Gone> {
        let mut notes = Notes::new();
        let begun = self.begun.remove(&claim).unwrap_or_default();
        let (place, engine) = (&mut self.place, &self.engine);
        let (mut lost, mut is_whole) = (None, true);
        if !care.artifacts.is_empty() && after.has_ended {
            let collected = artifact::collect(place, engine, (&claim, care), &after.secrets)?;
            (lost, is_whole) = (collected.failure, collected.is_whole);
            notes.extend(collected.notes);
        }
        if let (true, Some(wish), Some(used)) = (after.is_success, &care.cache, &begun.cache) {
            cache::save(place, engine, (&claim, wish, used), &mut notes)?;
        }
        if let (true, true, Some(key)) = (after.is_success, is_whole, begun.pure) {
            engine.keep(&claim, Record::Pure(key))?;
        }
        if care.checkpoint {
            // The result of a step must not wait for an engine only because of this.
            let engine = engine.impatient();
            self.checkpoints.after((place, &engine), (&claim, after), &mut notes)?;
        }
        let masked = |text: String| after.secrets.text(&text);
        let notes = notes.into_iter().map(masked).collect();
        let report = Report::Kept(claim, notes, lost.map(masked));
        self.reports.blocking_send(report).map_err(|_| Gone)
    }
}

/// The dispatcher is gone: the runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Why something was not kept.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The runner ends.
    Gone,
    /// For people.
    Told(String),
}

// === impl Trouble ===

impl Trouble {
    /// The text for people.
    ///
    /// # Errors
    /// There is nobody to tell.
    pub(crate) fn told(self) -> Result<String, Gone> {
        match self {
            Self::Gone => Err(Gone),
            Self::Told(text) => Ok(text),
        }
    }
}

impl From<Gone> for Trouble {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Told(error.to_string())
    }
}
