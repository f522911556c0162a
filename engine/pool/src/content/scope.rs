//! Content in the scope of a run: content that it or earlier runs of its scope have sent, and
//! content that the engine gave it.
//!
//! A hash grants no access: content of other scopes is neither given nor recorded, with the same
//! answers as for content that does not exist.

use std::time::Duration;

use plue_plan::budget::{Budget, Stopped};
use plue_runtime::foreign::{self, Limits};
use plue_wire::{
    eval::Bytes,
    outputs::{Answer, BlobHash, Changes, MAX_CHANGES, MAX_CHANGES_BYTES, MAX_PART_BYTES, Record},
};

use super::Responder;

/// Limits for reading a list of changes.
const READING: Limits = Limits {
    name: "changes of a checkpoint",
    budget: Budget { bytes: MAX_CHANGES_BYTES as u64, items: MAX_CHANGES as u64, steps: u64::MAX },
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};

// === impl Responder: scope ===

impl Responder {
    /// The scope of the run that the runner works for; `None`: it works for none.
    async fn own_scope(&mut self) -> Result<Option<String>, plue_store::Error> {
        let runner = self.store.runners().get(&self.runner).await?;
        let Some(run) = runner.and_then(|row| row.group) else { return Ok(None) };
        if let Some((known, scope)) = &self.scope
            && *known == run
        {
            return Ok(Some(scope.clone()));
        }
        (self.scope, self.reading) = (None, None);
        let Some(scopes) = self.scopes_of(&run).await? else { return Ok(None) };
        self.scope = Some((run, scopes.write.clone()));
        Ok(Some(scopes.write))
    }

    /// The blobs that the run must send: all that its own scope lacks, even if others have them.
    pub(super) async fn missing(
        &mut self,
        blobs: Vec<BlobHash>,
    ) -> Result<Answer, plue_store::Error> {
        let missing = match self.own_scope().await? {
            Some(scope) => self.store.blob_grants().missing(&scope, &blobs).await?,
            None => blobs,
        };
        Ok(Answer::Missing(missing))
    }

    pub(super) async fn get(
        &mut self,
        blob: &BlobHash,
        offset: u64,
    ) -> Result<Answer, plue_store::Error> {
        let Some(scope) = self.own_scope().await? else { return Ok(no_blob(blob)) };
        // Checked with the first part only: garbage collection may delete a blob, but no scope
        // loses one.
        if offset == 0 || self.reading != Some(*blob) {
            self.reading = None;
            if !self.store.blob_grants().missing(&scope, &[*blob]).await?.is_empty() {
                return Ok(no_blob(blob));
            }
            self.reading = Some(*blob);
        }
        self.part_of(blob, offset).await
    }

    /// A part of a blob that the runner may read.
    pub(super) async fn part_of(
        &self,
        blob: &BlobHash,
        offset: u64,
    ) -> Result<Answer, plue_store::Error> {
        let Some(stat) = self.store.blobs().stat(blob).await? else { return Ok(no_blob(blob)) };
        let bytes =
            self.store.blobs().read(blob, offset, MAX_PART_BYTES).await?.unwrap_or_default();
        Ok(Answer::Part { bytes: Bytes(bytes), size: stat.size })
    }

    /// Grants the run's scope content that the run has sent.
    pub(super) async fn grant(&mut self, blobs: &[BlobHash]) -> Result<(), plue_store::Error> {
        match self.own_scope().await? {
            Some(scope) => self.store.blob_grants().add(&scope, blobs).await,
            None => Ok(()),
        }
    }

    /// Grants a scope the content of an answer.
    pub(super) async fn give(
        &self,
        scope: &str,
        answer: Answer,
    ) -> Result<Answer, plue_store::Error> {
        let blobs = match &answer {
            Answer::Cache { archive, .. } => vec![*archive],
            Answer::Pure { artifacts, .. } => artifacts.iter().map(|file| file.blob).collect(),
            Answer::Missing(_)
            | Answer::Done
            | Answer::Taken(_)
            | Answer::Part { .. }
            | Answer::Nothing(_)
            | Answer::Refused(_) => Vec::new(),
        };
        self.store.blob_grants().add(scope, &blobs).await?;
        Ok(answer)
    }

    /// The refusal of a record that names content which no run of the scope has sent or was given.
    pub(super) async fn foreign_content(
        &self,
        scope: &str,
        record: &Record,
    ) -> Result<Option<Answer>, plue_store::Error> {
        let mut named = match record {
            Record::Artifacts(files) => files.iter().map(|file| file.blob).collect(),
            Record::Cache { archive, .. } => vec![*archive],
            Record::Checkpoint(checkpoint) => checkpoint.changes.into_iter().collect(),
            Record::Pure(_) | Record::Note(_) => Vec::new(),
        };
        if !self.store.blob_grants().missing(scope, &named).await?.is_empty() {
            return Ok(Some(not_sent()));
        }
        let Record::Checkpoint(checkpoint) = record else { return Ok(None) };
        let Some(changes) = checkpoint.changes else { return Ok(None) };
        let Some(bytes) = self.store.blobs().whole(&changes, MAX_CHANGES_BYTES).await? else {
            return Ok(Some(not_sent()));
        };
        named = match foreign::compute(READING, move |_| Ok::<_, Stopped>(content(&bytes))).await {
            Ok(Some(named)) => named,
            Ok(None) => return Ok(Some(Answer::Refused(unreadable()))),
            Err(error) => return Ok(Some(Answer::Refused(error.to_string()))),
        };
        let missing = self.store.blob_grants().missing(scope, &named).await?;
        Ok((!missing.is_empty()).then(not_sent))
    }
}

/// The content that a list of changes names; `None`: it is no list, or too long.
fn content(bytes: &[u8]) -> Option<Vec<BlobHash>> {
    let changes = Changes::decode(bytes).ok()?;
    (changes.list.len() <= MAX_CHANGES).then(|| changes.blobs().collect())
}

fn no_blob(blob: &BlobHash) -> Answer {
    Answer::Nothing(format!("there is no blob {blob}"))
}

fn unreadable() -> String {
    format!("the list of changes cannot be read, or has more than {MAX_CHANGES} entries")
}

fn not_sent() -> Answer {
    Answer::Refused(
        "PLUE-R0014: the record names content that no run of this scope has sent".to_owned(),
    )
}
