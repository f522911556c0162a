//! The client of the engine's content service: questions that block until they are answered.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read as _, Seek, Write},
    path::Path,
};

use plue_wire::{
    eval::Bytes,
    outputs::{Answer, ArtifactFile, BlobHash, MAX_PART_BYTES, Question, Record},
    runner::Claim,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{DispatcherGone, OutputError, queue::ContentRequest};
use crate::files;

/// Hashes in one question.
const MAX_HASHES: usize = 10_000;
/// Sessions that may end while one file is sent.
const MAX_BREAKS: u32 = 100;
/// Files up to so many bytes travel many in one message.
pub(crate) const SMALL_BYTES: u64 = 16 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct ContentClient {
    requests: mpsc::Sender<ContentRequest>,
    can_wait: bool,
    /// Whether a question was dropped without an engine.
    was_offline: Cell<bool>,
}

/// The result of an earlier attempt.
#[derive(Debug)]
pub(crate) struct PureResult {
    pub(crate) output_json: String,
    pub(crate) artifacts: Vec<ArtifactFile>,
    pub(crate) from: String,
}

/// A cache entry of the engine.
#[derive(Debug)]
pub(crate) struct CacheEntry {
    pub(crate) key: String,
    pub(crate) exact: bool,
    pub(crate) archive: BlobHash,
}

// === impl Engine ===

impl ContentClient {
    pub(crate) fn new(requests: mpsc::Sender<ContentRequest>) -> Self {
        Self { requests, can_wait: true, was_offline: Cell::new(false) }
    }

    /// A client whose questions do not wait for an engine.
    pub(crate) fn impatient(&self) -> Self {
        Self { requests: self.requests.clone(), can_wait: false, was_offline: Cell::new(false) }
    }

    /// Whether a question was dropped because no engine was connected. That depends on timing, so
    /// it must not be in the log of a step: a log is the same whichever process was killed
    /// meanwhile.
    pub(crate) fn was_offline(&self) -> bool {
        self.was_offline.get()
    }

    fn ask(&self, question: Question) -> Result<Answer, DispatcherGone> {
        let (reply, answer) = oneshot::channel();
        let request = ContentRequest { question, reply, can_wait: self.can_wait };
        self.requests.blocking_send(request).map_err(|_| DispatcherGone)?;
        match answer.blocking_recv() {
            Ok(answer) => Ok(answer),
            Err(_) if !self.can_wait => {
                self.was_offline.set(true);
                Ok(Answer::Refused("no engine was there".to_owned()))
            }
            Err(_) => Err(DispatcherGone),
        }
    }

    /// The blobs among these that the engine lacks.
    pub(crate) fn missing(&self, blobs: &[BlobHash]) -> Result<Vec<BlobHash>, DispatcherGone> {
        let mut missing = Vec::new();
        for some in blobs.chunks(MAX_HASHES) {
            match self.ask(Question::Missing(some.to_vec()))? {
                Answer::Missing(some) => missing.extend(some),
                _ => missing.extend(some),
            }
        }
        Ok(missing)
    }

    /// Stores small contents in batches.
    pub(crate) fn put_many(&self, contents: Vec<Vec<u8>>) -> Result<(), OutputError> {
        let mut contents = contents.into_iter().peekable();
        while contents.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while let Some(next) =
                contents.next_if(|next| bytes == 0 || bytes + next.len() <= MAX_PART_BYTES)
            {
                bytes += next.len().max(1);
                some.push(Bytes(next));
            }
            done(self.ask(Question::PutMany(some))?)?;
        }
        Ok(())
    }

    /// Stores bytes of memory.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<BlobHash, OutputError> {
        let blob = BlobHash(Sha256::digest(bytes).into());
        if self.missing(&[blob])?.is_empty() {
            return Ok(blob);
        }
        self.parts(blob, bytes.len() as u64, io::Cursor::new(bytes))?;
        Ok(blob)
    }

    /// Stores a file of a known hash; an error if it has changed since.
    pub(crate) fn put_file(
        &self,
        file: File,
        blob: BlobHash,
        size: u64,
    ) -> Result<(), OutputError> {
        self.parts(blob, size, file)
    }

    fn parts(
        &self,
        blob: BlobHash,
        size: u64,
        mut from: impl io::Read + Seek,
    ) -> Result<(), OutputError> {
        let (mut offset, mut breaks) = (0, 0);
        loop {
            let mut bytes = Vec::new();
            from.by_ref().take(MAX_PART_BYTES as u64).read_to_end(&mut bytes)?;
            let sent = bytes.len() as u64;
            if sent == 0 && offset > 0 {
                return Err(OutputError::Message(
                    "a file has changed while it was read".to_owned(),
                ));
            }
            let part = Question::PutPart { blob, size, offset, bytes: Bytes(bytes) };
            match self.ask(part)? {
                Answer::Taken(taken) if taken == offset + sent => offset = taken,
                // A new session knows nothing of the parts that the one before had.
                Answer::Taken(taken) if breaks < MAX_BREAKS => {
                    breaks += 1;
                    offset = from.seek(io::SeekFrom::Start(taken))?;
                }
                Answer::Taken(_) => {
                    return Err(OutputError::Message(
                        "the connection was lost too often".to_owned(),
                    ));
                }
                answer => return done(answer),
            }
        }
    }

    /// Writes a blob somewhere.
    pub(crate) fn get(&self, blob: BlobHash, to: &mut dyn Write) -> Result<u64, OutputError> {
        let (mut offset, mut hasher) = (0, Sha256::new());
        loop {
            let (bytes, size) = match self.ask(Question::Get { blob, offset })? {
                Answer::Part { bytes, size } => (bytes.0, size),
                Answer::Nothing(why) | Answer::Refused(why) => {
                    return Err(OutputError::Message(why));
                }
                _ => return Err(unexpected()),
            };
            hasher.update(&bytes);
            to.write_all(&bytes)?;
            offset += bytes.len() as u64;
            if offset >= size {
                break;
            }
            if bytes.is_empty() {
                return Err(OutputError::Message("the content has an end too early".to_owned()));
            }
        }
        if BlobHash(hasher.finalize().into()) == blob {
            Ok(offset)
        } else {
            Err(OutputError::Message("the content is damaged".to_owned()))
        }
    }

    /// Records an output; returns the reason if it was refused.
    pub(crate) fn record(
        &self,
        claim: &Claim,
        record: Record,
    ) -> Result<Option<String>, DispatcherGone> {
        match self.ask(Question::Record(claim.clone(), record))? {
            Answer::Done => Ok(None),
            Answer::Refused(why) => Ok(Some(why)),
            _ => Ok(Some("the engine did not understand".to_owned())),
        }
    }

    /// The best cache entry, or why there is none.
    pub(crate) fn find_cache(
        &self,
        claim: &Claim,
        key: &str,
        restore: &[String],
    ) -> Result<Result<CacheEntry, String>, DispatcherGone> {
        let question = Question::FindCache {
            claim: claim.clone(),
            key: key.to_owned(),
            restore: restore.to_vec(),
        };
        Ok(match self.ask(question)? {
            Answer::Cache { key, exact, archive } => Ok(CacheEntry { key, exact, archive }),
            Answer::Nothing(why) | Answer::Refused(why) => Err(why),
            _ => Err("the engine did not understand".to_owned()),
        })
    }

    /// The result of a pure step with this key.
    pub(crate) fn find_pure(
        &self,
        claim: &Claim,
        key: BlobHash,
    ) -> Result<Option<PureResult>, DispatcherGone> {
        match self.ask(Question::FindPure { claim: claim.clone(), key })? {
            Answer::Pure { output_json, artifacts, from } => {
                Ok(Some(PureResult { output_json, artifacts, from }))
            }
            _ => Ok(None),
        }
    }
}

fn done(answer: Answer) -> Result<(), OutputError> {
    match answer {
        Answer::Done => Ok(()),
        Answer::Refused(why) | Answer::Nothing(why) => Err(OutputError::Message(why)),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> OutputError {
    OutputError::Message("the engine gave an answer to another question".to_owned())
}

/// The hash and length of a stream.
pub(crate) fn hash(mut from: impl io::Read) -> io::Result<(BlobHash, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok((BlobHash(hasher.finalize().into()), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

/// A temporary file of the uploader, deleted on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: std::path::PathBuf,
}

// === impl Scratch ===

impl Scratch {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name) }
    }

    pub(crate) fn create(&self) -> io::Result<File> {
        files::create(&self.path, 0o600)
    }

    pub(crate) fn open(&self) -> io::Result<File> {
        files::open(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}
