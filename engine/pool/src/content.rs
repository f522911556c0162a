//! The content service of a session: answers a runner's questions from the store, one by one.
//!
//! Decides from the event of the run which caches it may read: content of an untrusted pull request
//! is never read by a trusted run. An event that cannot be read counts as untrusted.

mod scope;

use std::{collections::VecDeque, pin::Pin};

use plue_plan::{Event, RunId, RunnerId, event::EventType};
use plue_runtime::Clock;
use plue_store::{
    BlobWriter, CacheFound, CacheRow, NewRecord, Recorded, Store, capacity::UNTRUSTED_SCOPE,
};
use plue_wire::{
    eval::Bytes,
    outputs::{Answer, ArtifactFile, BlobHash, MAX_PART_BYTES, Question},
    runner::Claim,
};

/// Questions that wait; an honest runner has two.
const MAX_WAITING: usize = 16;
/// Bytes of one blob at most: 32 GiB.
const MAX_BLOB_BYTES: u64 = 32 * 1024 * 1024 * 1024;
const GIB: u64 = 1024 * 1024 * 1024;
/// Hashes or files of one question at most.
const MAX_ITEMS: usize = 20_000;

type Answering = Pin<Box<dyn Future<Output = (Responder, Answer)> + Send>>;

/// The questions of one session that wait for an answer.
pub(crate) struct ContentService {
    waiting: VecDeque<Question>,
    answering: Option<Answering>,
    responder: Option<Responder>,
    /// A blob that the engine has ordered the runner to fetch, of whichever scope.
    ordered: Option<BlobHash>,
}

/// Answers the questions of one runner, one at a time.
struct Responder {
    store: Store,
    clock: Clock,
    runner: RunnerId,
    limits: RunLimits,
    /// The blob of which parts have arrived.
    partial: Option<(BlobHash, BlobWriter)>,
    /// The run of the runner, and the scope that it writes.
    scope: Option<(RunId, String)>,
    /// The blob that the runner reads and is permitted to.
    reading: Option<BlobHash>,
}

/// Limits on the bytes of one run, its log included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// A run of people who may write to the repository.
    pub own: u64,
    /// A run of a fork.
    pub untrusted: u64,
}

/// The scopes of a run's caches and pure results.
struct Scopes {
    /// The scope for new entries.
    write: String,
    /// The scopes to search, in this order.
    read: Vec<String>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { own: 100 * GIB, untrusted: 10 * GIB }
    }
}

// === impl ContentService ===

impl ContentService {
    pub(crate) fn new(store: &Store, clock: &Clock, runner: &RunnerId, limits: RunLimits) -> Self {
        let (store, clock, runner) = (store.clone(), *clock, runner.clone());
        let responder =
            Responder { store, clock, runner, limits, partial: None, scope: None, reading: None };
        let (waiting, answering, ordered) = (VecDeque::new(), None, None);
        Self { waiting, answering, responder: Some(responder), ordered }
    }

    /// Lets the runner fetch this blob, and no longer the one of an earlier call.
    pub(crate) fn allow(&mut self, blob: Option<BlobHash>) {
        self.ordered = blob;
    }

    /// Queues a question; `false` if too many wait.
    pub(crate) fn ask(&mut self, question: Question) -> bool {
        if self.waiting.len() >= MAX_WAITING {
            return false;
        }
        self.waiting.push_back(question);
        self.answer_next();
        true
    }

    fn answer_next(&mut self) {
        if self.answering.is_some() {
            return;
        }
        if let Some(question) = self.waiting.pop_front()
            && let Some(mut responder) = self.responder.take()
        {
            let ordered = self.ordered;
            self.answering = Some(Box::pin(async move {
                let answer = match question {
                    Question::Get { blob, offset } if ordered == Some(blob) => {
                        responder.part_of(&blob, offset).await
                    }
                    question => responder.answer(question).await,
                };
                let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
                (responder, answer)
            }));
        }
    }

    /// The next answer; pending without a question. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Answer {
        let Some(answering) = &mut self.answering else {
            return std::future::pending().await;
        };
        let (responder, answer) = answering.await;
        self.answering = None;
        self.responder = Some(responder);
        self.answer_next();
        answer
    }
}

// === impl Responder ===

impl Responder {
    async fn answer(&mut self, question: Question) -> Result<Answer, plue_store::Error> {
        match question {
            Question::Missing(blobs) if blobs.len() > MAX_ITEMS => Ok(too_much()),
            Question::Missing(blobs) => self.missing(blobs).await,
            Question::PutMany(contents) => {
                let bytes: usize = contents.iter().map(|content| content.0.len()).sum();
                if bytes > 2 * MAX_PART_BYTES || contents.len() > 2 * MAX_PART_BYTES {
                    return Ok(too_much());
                }
                let bytes = bytes as u64;
                let run = match self.room_for(bytes).await? {
                    Ok(run) => run,
                    Err(over) => return Ok(over),
                };
                let contents = contents.into_iter().map(|content| content.0).collect();
                let blobs = self.store.blobs().put_all(contents).await?;
                self.grant(&blobs).await?;
                self.store.capacity().add_run_bytes(&run, bytes).await?;
                Ok(Answer::Done)
            }
            Question::PutPart { blob, size, offset, bytes } => {
                self.part(blob, size, offset, bytes).await
            }
            Question::Get { blob, offset } => self.get(&blob, offset).await,
            Question::Record(claim, record) => {
                let Some((scopes, _)) = self.scopes(&claim).await? else { return Ok(stale()) };
                if let Some(refused) = self.foreign_content(&scopes.write, &record).await? {
                    return Ok(refused);
                }
                let at = self.clock.now();
                let record = NewRecord { claim, record, scope: scopes.write, at };
                Ok(match self.store.outputs().record(record).await? {
                    Recorded::Yes => Answer::Done,
                    Recorded::Stale => stale(),
                })
            }
            Question::FindCache { claim, key, restore } => {
                let Some((scopes, _)) = self.scopes(&claim).await? else { return Ok(stale()) };
                let found =
                    cache_answer(self.store.caches().find(&scopes.read, &key, &restore).await?);
                self.give(&scopes.write, found).await
            }
            Question::FindPure { claim, key } => {
                let Some((scopes, _)) = self.scopes(&claim).await? else { return Ok(stale()) };
                let found = self.pure(&scopes.read, &key).await?;
                self.give(&scopes.write, found).await
            }
        }
    }

    async fn part(
        &mut self,
        blob: BlobHash,
        size: u64,
        offset: u64,
        bytes: Bytes,
    ) -> Result<Answer, plue_store::Error> {
        if size > MAX_BLOB_BYTES || bytes.0.len() > 2 * MAX_PART_BYTES {
            return Ok(too_much());
        }
        if offset == 0
            && let Err(over) = self.room_for(size).await?
        {
            return Ok(over);
        }
        let partial = self.partial.take().filter(|(known, _)| *known == blob && offset > 0);
        let mut writer = match partial {
            Some((_, writer)) => writer,
            None => self.store.blobs().writer(),
        };
        if writer.size() != offset {
            // Sent again after a broken connection.
            let taken = writer.size();
            self.partial = Some((blob, writer));
            return Ok(Answer::Taken(taken));
        }
        writer.write(&bytes.0).await?;
        if writer.size() < size && !bytes.0.is_empty() {
            let taken = writer.size();
            self.partial = Some((blob, writer));
            return Ok(Answer::Taken(taken));
        }
        let written = writer.size();
        let run = match self.room_for(written).await? {
            Ok(run) => run,
            Err(over) => return Ok(over),
        };
        let (found, _) = writer.finish().await?;
        self.grant(&[found]).await?;
        self.store.capacity().add_run_bytes(&run, written).await?;
        Ok(if found == blob {
            Answer::Done
        } else {
            Answer::Refused("the file changed while it was read".to_owned())
        })
    }

    /// The run of this runner, if it may have so many bytes more.
    async fn room_for(&self, more: u64) -> Result<Result<RunId, Answer>, plue_store::Error> {
        let Some(bytes) = self.store.capacity().bytes_of_runner(&self.runner).await? else {
            return Ok(Err(stale()));
        };
        let limit = if bytes.is_fork { self.limits.untrusted } else { self.limits.own };
        let all = bytes.log.saturating_add(bytes.kept).saturating_add(more);
        Ok(if all <= limit {
            Ok(bytes.run)
        } else {
            Err(Answer::Refused(format!(
                "PLUE-R0010: the run would have {all} bytes of log and kept content, it may have \
                 {limit}"
            )))
        })
    }

    async fn pure(&self, scopes: &[String], key: &BlobHash) -> Result<Answer, plue_store::Error> {
        let Some(found) = self.store.caches().find_pure(scopes, key).await? else {
            return Ok(Answer::Nothing("no attempt had this key".to_owned()));
        };
        let artifacts = found.artifacts.into_iter().map(|row| ArtifactFile {
            path: row.path,
            blob: row.blob,
            bytes: row.bytes,
            executable: row.executable,
        });
        Ok(Answer::Pure {
            output_json: found.output.to_string(),
            artifacts: artifacts.collect(),
            from: format!("step {} of run {}", found.step, found.run),
        })
    }

    /// The scopes of a claim's run; `None` for an attempt of another runner.
    async fn scopes(&self, claim: &Claim) -> Result<Option<(Scopes, RunId)>, plue_store::Error> {
        let attempt = self.store.attempts().get(&claim.attempt).await?;
        let attempt = attempt.filter(|row| {
            row.claim.fence == claim.fence && row.runner.as_ref() == Some(&self.runner)
        });
        let Some(attempt) = attempt else { return Ok(None) };
        let scopes = self.scopes_of(&attempt.run).await?;
        Ok(scopes.map(|scopes| (scopes, attempt.run)))
    }

    /// The scopes that a run reads and writes; `None`: there is no such run.
    async fn scopes_of(&self, run: &RunId) -> Result<Option<Scopes>, plue_store::Error> {
        let Some(source) = self.store.outputs().source_of_run(run).await? else { return Ok(None) };
        let event = serde_json::from_value::<Event>(source.event).ok();
        let folder = source.origin.get("repository").and_then(|path| path.as_str());
        let named = event.as_ref().and_then(|event| event.repository.clone());
        let repository = named.or(folder.map(str::to_owned)).unwrap_or_default();
        Ok(Some(scopes(event.as_ref(), &repository, run)))
    }
}

fn scopes(event: Option<&Event>, repository: &str, run: &RunId) -> Scopes {
    let trusted = format!("trusted {repository}");
    if event.is_some_and(is_trusted) {
        return Scopes { read: vec![trusted.clone()], write: trusted };
    }
    let number = event.and_then(|event| Some(event.pull_request.as_ref()?.number.to_string()));
    let own =
        format!("{UNTRUSTED_SCOPE}{repository} {}", number.unwrap_or_else(|| run.to_string()));
    Scopes { read: vec![trusted, own.clone()], write: own }
}

/// Whether all of the run comes from people who may write to the repository.
fn is_trusted(event: &Event) -> bool {
    if event.kind != EventType::PullRequest {
        return event.pull_request.as_ref().is_none_or(|pull| !pull.fork);
    }
    event.pull_request.as_ref().is_some_and(|pull| {
        let home = pull.head.repository.is_some() && pull.head.repository == event.repository;
        home && !pull.fork
    })
}

fn cache_answer(found: CacheFound) -> Answer {
    let hit = |row: CacheRow, exact| match row.archive {
        Some(archive) => Answer::Cache { key: row.key, exact, archive },
        None => Answer::Nothing("it has just been evicted".to_owned()),
    };
    match found {
        CacheFound::Exact(row) => hit(row, true),
        CacheFound::Prefix(_, row) => hit(row, false),
        CacheFound::Evicted(row) => {
            let (at, why) = row.evicted.unwrap_or((row.used_at, String::new()));
            Answer::Nothing(format!("evicted at {at}: {why}"))
        }
        CacheFound::Nothing => Answer::Nothing("nothing was saved under it".to_owned()),
    }
}

fn too_much() -> Answer {
    Answer::Refused("it is too much at once".to_owned())
}

fn stale() -> Answer {
    Answer::Refused("the attempt belongs to another runner by now".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(event: serde_json::Value) -> Scopes {
        let event = serde_json::from_value::<Event>(event).ok();
        scopes(event.as_ref(), "o/r", &RunId::new("r1"))
    }

    fn pull(fork: bool, head: serde_json::Value) -> serde_json::Value {
        json!({"type": "pull_request", "repository": "o/r", "pull_request": {
            "number": 7, "fork": fork, "base": {"ref": "main", "sha": "a"},
            "head": {"ref": "x", "sha": "b", "repository": head},
        }})
    }

    #[test]
    fn row_2_25_untrusted_runs_read_trusted_scopes_only() {
        let strange = [
            pull(true, json!("x/r")),
            pull(false, json!("x/r")),
            pull(true, json!("o/r")),
            pull(false, json!(null)),
            json!({"type": "pull_request", "repository": "o/r"}),
            json!({"type": "nonsense"}),
        ];
        for event in strange {
            let scopes = of(event.clone());
            assert_ne!(scopes.write, "trusted o/r", "{event}");
            assert_eq!(scopes.read[0], "trusted o/r");
            assert_eq!(scopes.read[1], scopes.write);
        }
        for event in [pull(false, json!("o/r")), json!({"type": "push"}), json!({"type": "manual"})]
        {
            let scopes = of(event);
            assert_eq!(scopes.write, "trusted o/r");
            assert_eq!(scopes.read, ["trusted o/r"]);
        }
    }
}
