//! The output uploader: one thread that reads and writes the workspace for the outputs of attempts.
//!
//! Before a step it restores a cache or reuses a result; after it it collects artifacts, saves
//! caches and records changes. It asks the engine through the dispatcher, one question at a time.
//! Only artifacts that cannot be stored fail a step; other failures are notes in its log.

mod client;
pub(crate) mod queue;
mod work_tree;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use plue_plan::StepId;
use plue_runtime::{Clock, mask::Secrets};
use plue_wire::{
    outputs::{BlobHash, OutputSpec, Record},
    runner::Claim,
};
use tokio::sync::mpsc;

pub(crate) use self::{
    client::{ContentClient, SMALL_BYTES, Scratch, hash},
    work_tree::{Globs, Listing, Sig, WorkTree},
};
use crate::{
    artifact,
    attempt::Report,
    cache::{self, CacheUse},
    checkpoint::Checkpoints,
};

/// A job of the uploader.
#[derive(Debug)]
pub(crate) enum Job {
    /// Prepares the workspace before the process of an attempt.
    Prepare(Claim, Box<OutputSpec>),
    /// Collects the outputs after the process, before its result is reported.
    Collect(Claim, Box<OutputSpec>, Box<AttemptSummary>),
}

/// The end of an attempt's process.
#[derive(Debug)]
pub(crate) struct AttemptSummary {
    /// Step of the attempt.
    pub(crate) step: StepId,
    /// Steps that still run.
    pub(crate) running: Vec<StepId>,
    /// Whether it exited with 0.
    pub(crate) is_success: bool,
    /// Whether it ended by itself or by its timeout.
    pub(crate) has_ended: bool,
    /// Duration of the process.
    pub(crate) wall: Duration,
    /// Secrets to mask in names and notes.
    pub(crate) secrets: Secrets,
}

/// The outcome of [`Job::Prepare`].
#[derive(Debug)]
pub(crate) enum Prepared {
    /// The process is to be started.
    Run,
    /// An earlier attempt did the same: its output, as JSON.
    Reuse(String),
}

/// Lines for the log of an attempt.
pub(crate) type Notes = Vec<String>;

/// Paths of the uploader.
#[derive(Debug, Clone)]
pub(crate) struct WorkDirs {
    /// Root of the workspace.
    pub(crate) root: PathBuf,
    /// Folder of temporary files.
    pub(crate) scratch: PathBuf,
    /// File of the workspace's index, shared between runs.
    pub(crate) index: Option<PathBuf>,
}

/// State of the uploader's thread.
struct OutputUploader {
    client: ContentClient,
    reports: mpsc::Sender<Report>,
    tree: WorkTree,
    checkpoints: Checkpoints,
    /// State before the process, by claim.
    preparations: HashMap<Claim, Preparation>,
}

/// The state before the process that [`Job::Collect`] needs.
#[derive(Debug, Default)]
struct Preparation {
    cache: Option<CacheUse>,
    pure: Option<BlobHash>,
}

/// Works on jobs until their sender is dropped.
pub(crate) fn work(
    dirs: &WorkDirs,
    clock: Clock,
    client: ContentClient,
    mut jobs: mpsc::Receiver<Job>,
    reports: mpsc::Sender<Report>,
) {
    let tree = WorkTree::open(dirs);
    let checkpoints = Checkpoints::new(dirs.index.clone(), clock);
    let mut uploader =
        OutputUploader { client, reports, tree, checkpoints, preparations: HashMap::new() };
    while let Some(job) = jobs.blocking_recv() {
        let outcome = match job {
            Job::Prepare(claim, spec) => uploader.prepare(claim, &spec),
            Job::Collect(claim, spec, summary) => uploader.collect(claim, &spec, &summary),
        };
        if outcome.is_err() {
            break;
        }
    }
    uploader.checkpoints.save();
}

// === impl OutputUploader ===

impl OutputUploader {
    fn prepare(&mut self, claim: Claim, spec: &OutputSpec) -> Result<(), DispatcherGone> {
        let mut notes = Notes::new();
        if spec.checkpoint {
            self.checkpoints.begin(&self.tree, &self.client, &mut notes)?;
        }
        let mut preparation = Preparation::default();
        let mut prepared = Prepared::Run;
        if let Some(pure) = &spec.pure {
            let found = self.tree.tree_hash(&spec.artifacts, &mut self.checkpoints.hashes());
            match found {
                Ok(tree) => {
                    let key = work_tree::pure_key(pure, &tree);
                    preparation.pure = Some(key);
                    prepared = self.reuse(&claim, key, &mut notes)?;
                }
                Err(error) => notes.push(format!("pure: the workspace cannot be read: {error}")),
            }
        }
        if let (Prepared::Run, Some(wish)) = (&prepared, &spec.cache) {
            let tree = &mut self.tree;
            preparation.cache = cache::restore(tree, &self.client, &claim, wish, &mut notes)?;
        }
        if matches!(prepared, Prepared::Run) {
            self.preparations.insert(claim.clone(), preparation);
        }
        let report = Report::Prepared(claim, prepared, notes);
        self.reports.blocking_send(report).map_err(|_| DispatcherGone)?;
        // The process runs by now; its result must not wait behind this.
        self.checkpoints.settle(&self.tree, &self.client.impatient())
    }

    /// The result of an earlier attempt, if there is one and its files can be put here.
    fn reuse(
        &self,
        claim: &Claim,
        key: BlobHash,
        notes: &mut Notes,
    ) -> Result<Prepared, DispatcherGone> {
        let Some(found) = self.client.find_pure(claim, key)? else { return Ok(Prepared::Run) };
        if let Err(error) = artifact::put_back(&self.tree, &self.client, &found.artifacts) {
            let why = error.message()?;
            notes.push(format!("pure: the files of {} cannot be put back: {why}", found.from));
            return Ok(Prepared::Run);
        }
        let kept = Record::Artifacts(found.artifacts);
        if let Some(refused) = self.client.record(claim, kept)? {
            notes.push(format!("pure: {refused}"));
            return Ok(Prepared::Run);
        }
        let note = format!("pure: nothing has changed since {}; its result was taken", found.from);
        self.client.record(claim, Record::Note(note.clone()))?;
        notes.push(note);
        Ok(Prepared::Reuse(found.output_json))
    }

    fn collect(
        &mut self,
        claim: Claim,
        spec: &OutputSpec,
        summary: &AttemptSummary,
    ) -> Result<(), DispatcherGone> {
        let mut notes = Notes::new();
        let preparation = self.preparations.remove(&claim).unwrap_or_default();
        let (tree, client) = (&mut self.tree, &self.client);
        let (mut lost, mut is_whole) = (None, true);
        if !spec.artifacts.is_empty() && summary.has_ended {
            let collected = artifact::collect(tree, client, &claim, spec, &summary.secrets)?;
            (lost, is_whole) = (collected.failure, collected.is_whole);
            notes.extend(collected.notes);
        }
        if let (true, Some(wish), Some(used)) =
            (summary.is_success, &spec.cache, &preparation.cache)
        {
            cache::save(tree, client, &claim, wish, used, &mut notes)?;
        }
        if let (true, true, Some(key)) = (summary.is_success, is_whole, preparation.pure) {
            client.record(&claim, Record::Pure(key))?;
        }
        if spec.checkpoint {
            // The result of a step must not wait for an engine only because of this.
            let client = client.impatient();
            self.checkpoints.after(tree, &client, &claim, summary, &mut notes)?;
        }
        let masked = |text: String| summary.secrets.text(&text);
        let notes = notes.into_iter().map(masked).collect();
        let report = Report::Collected(claim, notes, lost.map(masked));
        self.reports.blocking_send(report).map_err(|_| DispatcherGone)
    }
}

/// The dispatcher is gone: the runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DispatcherGone;

/// The reason for which an output was not stored.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// The dispatcher is gone.
    DispatcherGone,
    /// A text for people.
    Message(String),
}

// === impl OutputError ===

impl OutputError {
    /// The text for people.
    ///
    /// # Errors
    /// The dispatcher is gone.
    pub(crate) fn message(self) -> Result<String, DispatcherGone> {
        match self {
            Self::DispatcherGone => Err(DispatcherGone),
            Self::Message(text) => Ok(text),
        }
    }
}

impl From<DispatcherGone> for OutputError {
    fn from(_: DispatcherGone) -> Self {
        Self::DispatcherGone
    }
}

impl From<std::io::Error> for OutputError {
    fn from(error: std::io::Error) -> Self {
        Self::Message(error.to_string())
    }
}
