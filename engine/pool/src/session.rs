//! One connection of one runner: frames in, events to the store, acknowledgements after commit.
//!
//! Must not acknowledge anything that is not committed, and must hand a result on only with every
//! event before it.

mod message;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use plue_plan::{AttemptId, RunnerId, artifacts::ArtifactRules};
use plue_runtime::{Clock, clock::Mark};
use plue_store::{Appended, Store};
use plue_wire::{
    decode,
    runner::{
        AGENT_PROTOCOL, AttemptEvent, AttemptResult, CancelMode, Claim, CloseCode, EventKind,
        FromRunner, HEARTBEAT_MS, Hello, KEEPING_PROTOCOL, MASKS_PROTOCOL, MAX_FRAME_BYTES,
        OLDEST_PROTOCOL, PROTOCOL, RULES_PROTOCOL, ResultVerdict, ResumeVerdict, ShutdownWhen,
        ToRunner, ToolResult, Verdict, Welcome,
    },
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tokio_util::{
    bytes::BytesMut,
    codec::{FramedRead, LengthDelimitedCodec},
};

use self::message::{MIN_COST, name, needed, size};
use crate::{
    error::Error,
    keeping::{Keeping, RunLimits},
    lease::{Command, EVENT_QUEUE, Ended, PoolEvent, Tagged},
};

/// Pending events are stored at the latest after this long.
const FLUSH_AFTER: Duration = Duration::from_millis(5);
/// Pending events are stored at once from this many bytes on.
const FLUSH_BYTES: usize = 512 * 1024;
/// Nothing more is read while this many bytes wait for the store or, behind a result, for the run.
const PENDING_BYTES: usize = 4 * 1024 * 1024;
/// No command is taken and nothing new is stored while this many bytes wait for the runner to read.
const OUT_BYTES: usize = 4 * 1024 * 1024;
/// How long the last words to a runner may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);
/// How long a runner may take to end after it was told that its run is over.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Silence after which the connection counts as dead.
const SILENCE: Duration = Duration::from_secs(15);

type Frames = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;
/// A tool result, of which attempt and under which number.
type Called = (Claim, u64, ToolResult);
type Flush = Pin<Box<dyn Future<Output = Result<Vec<Appended>, plue_store::Error>> + Send>>;

/// How a connection ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The run is over and the runner was told to stop.
    Released,
    /// The runner is not there any more; it may come back.
    Disconnected,
    /// The lease was given up and the runner goes on.
    Detached,
}

/// The state of one connection.
pub(crate) struct Session<'a> {
    store: &'a Store,
    clock: &'a Clock,
    runner: &'a RunnerId,
    token: &'a str,
    /// Events that are not handed to the store yet, by attempt.
    pending: HashMap<AttemptId, (Claim, Vec<AttemptEvent>)>,
    pending_bytes: usize,
    pending_since: Option<Mark>,
    /// The one write that is under way.
    flush: Option<Flush>,
    /// Attempts in that write, and those of them that started in it.
    flushing: Vec<Claim>,
    started: Vec<(Claim, Timestamp)>,
    /// Those that started and are not in a write yet, with the time at which that was heard.
    begun: Vec<(Claim, Timestamp)>,
    /// Tool results in that write, and those that are not in one yet, with their numbers.
    storing: Vec<Called>,
    called: Vec<Called>,
    /// Results that wait for it.
    parked: Vec<AttemptResult>,
    /// Bytes behind results that the run has not judged.
    unjudged: HashMap<Claim, usize>,
    /// Frames that the runner has not read. Written beside everything else: a runner that writes to us
    /// and does not read must not keep us from reading.
    out: BytesMut,
    /// Reports that the run has not taken yet. They must not keep commands from being taken: the run
    /// may be waiting for just that.
    outgoing: VecDeque<PoolEvent>,
    keeping: Keeping,
    /// Whether the runner knows what is to be kept.
    protocol: u32,
    /// The number of this session; 0 until the greeting is over.
    epoch: u64,
    /// Since when the runner has been told to leave, by [`Command::Release`] or the end of the lease.
    released: Option<Mark>,
}

// === impl Session ===

impl<'a> Session<'a> {
    pub(crate) fn new(
        store: &'a Store,
        clock: &'a Clock,
        runner: &'a RunnerId,
        token: &'a str,
        limits: RunLimits,
    ) -> Self {
        Self {
            store,
            clock,
            runner,
            token,
            pending: HashMap::new(),
            pending_bytes: 0,
            pending_since: None,
            flush: None,
            flushing: Vec::new(),
            started: Vec::new(),
            begun: Vec::new(),
            storing: Vec::new(),
            called: Vec::new(),
            parked: Vec::new(),
            unjudged: HashMap::new(),
            out: BytesMut::new(),
            outgoing: VecDeque::new(),
            keeping: Keeping::new(store, clock, runner, limits),
            protocol: 0,
            epoch: 0,
            released: None,
        }
    }

    /// Whether the greeting went well.
    pub(crate) fn was_ready(&self) -> bool {
        self.epoch > 0
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(
        &mut self,
        stream: UnixStream,
        events: &mpsc::Sender<PoolEvent>,
        commands: &mut mpsc::Receiver<Tagged>,
    ) -> Result<SessionEnd, Error> {
        let end = self.exchange(stream, events, commands).await;
        if matches!(end, Ok(SessionEnd::Disconnected) | Err(Error::Connection(_))) {
            self.store_rest().await?;
        }
        end
    }

    /// Stores what was taken in before the connection broke: a connection that never lasts shall get on
    /// all the same.
    async fn store_rest(&mut self) -> Result<(), Error> {
        if self.flush.is_some() {
            next_flush(&mut self.flush).await?;
            self.flush = None;
        }
        self.start_flush();
        if self.flush.is_some() {
            next_flush(&mut self.flush).await?;
            self.flush = None;
        }
        Ok(())
    }

    async fn exchange(
        &mut self,
        stream: UnixStream,
        events: &mpsc::Sender<PoolEvent>,
        commands: &mut mpsc::Receiver<Tagged>,
    ) -> Result<SessionEnd, Error> {
        let codec = LengthDelimitedCodec::builder()
            .little_endian()
            .length_field_length(4)
            .max_frame_length(MAX_FRAME_BYTES)
            .new_codec();
        let (read, mut write) = stream.into_split();
        let mut frames = FramedRead::new(read, codec);
        let greeted = self.greet(&mut frames, &mut write).await;
        if greeted.is_err() {
            // Perhaps why it is sent away.
            self.last_words(&mut write).await;
        }
        greeted?;
        let mut heard = self.clock.mark();
        loop {
            let (deadline, beat) = (self.flush_in(), self.beat_in());
            let has_room = self.out.len() < OUT_BYTES;
            let readable =
                self.waiting_bytes() < PENDING_BYTES && self.outgoing.len() < EVENT_QUEUE;
            // Biased: acknowledgements and commands first, they make room at the other side.
            tokio::select! {
                biased;
                appended = next_flush(&mut self.flush), if self.flush.is_some() => {
                    self.flush = None;
                    self.flushed(appended?)?;
                }
                written = write.write_buf(&mut self.out), if !self.out.is_empty() => match written {
                    Ok(_) => {}
                    // It may have left a last word for us.
                    Err(_) => self.out.clear(),
                },
                permit = events.reserve(), if !self.outgoing.is_empty() => {
                    match (permit, self.outgoing.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // The run is over.
                        (Err(_), _) | (_, None) => self.outgoing.clear(),
                    }
                }
                command = commands.recv(), if self.released.is_none() && has_room => {
                    if self.command(command)? {
                        self.last_words(&mut write).await;
                        return Ok(SessionEnd::Detached);
                    }
                }
                answer = self.keeping.next(), if has_room => {
                    self.send(&ToRunner::Answer(answer))?;
                }
                frame = frames.next(), if readable => {
                    heard = self.clock.mark();
                    match frame {
                        Some(Ok(frame)) => self.frame(&frame)?,
                        Some(Err(_)) | None if self.released.is_some() => {
                            return Ok(SessionEnd::Released);
                        }
                        Some(Err(error)) => return Err(Error::Connection(error)),
                        None => return Ok(SessionEnd::Disconnected),
                    }
                }
                () = self.clock.sleep(deadline.unwrap_or_default()), if deadline.is_some() && has_room => {
                    self.start_flush();
                }
                () = self.clock.sleep(beat) => {
                    if let Some(end) = self.beat(heard)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// A sign of life, unless the session has ended by itself.
    fn beat(&mut self, heard: Mark) -> Result<Option<SessionEnd>, Error> {
        if self.released.is_some_and(|at| self.clock.elapsed(at) > LEAVE_WITHIN) {
            return Ok(Some(SessionEnd::Released));
        }
        if self.clock.elapsed(heard) > SILENCE {
            return Ok(Some(SessionEnd::Disconnected));
        }
        if self.out.is_empty() {
            self.send(&ToRunner::Heartbeat)?;
        }
        Ok(None)
    }

    /// Bytes in memory because of what the runner said.
    fn waiting_bytes(&self) -> usize {
        self.pending_bytes + self.unjudged.values().sum::<usize>()
    }

    /// Puts a message behind those that wait to be written.
    fn send(&mut self, message: &ToRunner) -> Result<(), Error> {
        self.out.extend_from_slice(&plue_wire::encode(message, MAX_FRAME_BYTES)?);
        Ok(())
    }

    /// Writes what waits, before the connection is given up.
    async fn last_words(&mut self, write: &mut OwnedWriteHalf) {
        let written = write.write_all_buf(&mut self.out);
        let _not_read = tokio::time::timeout(LAST_WORDS_WITHIN, written).await;
    }

    /// Hello, Welcome, Ready.
    async fn greet(
        &mut self,
        frames: &mut Frames,
        write: &mut OwnedWriteHalf,
    ) -> Result<(), Error> {
        let hello = match receive(frames).await? {
            FromRunner::Hello(hello) => hello,
            other => {
                return Err(Error::Protocol(format!("expected Hello, got {}", name(&other))));
            }
        };
        if let Some((code, reason)) = objection(&hello, (self.runner, self.token)) {
            self.send(&ToRunner::Close(code, reason.clone()))?;
            return Err(Error::Protocol(reason));
        }
        self.protocol = hello.protocol;
        let hash = hex::encode(Sha256::digest(hello.token.as_bytes()));
        let hello_at = self.clock.now();
        let epoch = match self.store.runner_hello(self.runner, &hash, &hello.boot, hello_at).await {
            Ok(epoch) => epoch,
            Err(error @ plue_store::Error::UnknownRunner(_)) => {
                // It must not come back again and again.
                self.send(&ToRunner::Close(CloseCode::Unknown, error.to_string()))?;
                return Err(Error::Protocol(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let resume = verdicts(self.store, self.runner, &hello).await?;
        let held = resume
            .iter()
            .filter(|entry| entry.verdict != Verdict::Abandon)
            .map(|entry| entry.claim.clone())
            .collect();
        self.send(&ToRunner::Welcome(Welcome { epoch, resume }))?;
        write.write_all_buf(&mut self.out).await.map_err(Error::Connection)?;
        match receive(frames).await? {
            FromRunner::Ready => {}
            other => {
                return Err(Error::Protocol(format!("expected Ready, got {}", name(&other))));
            }
        }
        if !self.store.runner_ready(self.runner, epoch, self.clock.now()).await? {
            return Err(Error::Protocol("a newer session took over".to_owned()));
        }
        self.epoch = epoch;
        self.outgoing.push_back(PoolEvent::Ready { epoch, held });
        Ok(())
    }

    /// Tells whether the runner is to be left alone.
    fn command(&mut self, tagged: Option<Tagged>) -> Result<bool, Error> {
        let is_stale = tagged.as_ref().is_some_and(|tagged| tagged.epoch != self.epoch);
        let message = match tagged.map(|tagged| tagged.command) {
            Some(Command::Detach) => return Ok(true),
            Some(
                Command::Mask(_)
                | Command::Care(..)
                | Command::Assign(_)
                | Command::Agent(..)
                | Command::Stop { .. }
                | Command::Verdict { .. },
            ) if is_stale => {
                return Ok(false);
            }
            Some(Command::Care(..)) if self.protocol < KEEPING_PROTOCOL => return Ok(false),
            Some(Command::Assign(assign)) if self.protocol < needed(&assign.program) => {
                let reason = format!(
                    "the runner speaks protocol {}, the step needs {}: update plue-runner",
                    self.protocol,
                    needed(&assign.program)
                );
                self.outgoing.push_back(PoolEvent::Rejected { claim: assign.claim, reason });
                return Ok(false);
            }
            Some(Command::Mask(_)) if self.protocol < MASKS_PROTOCOL => return Ok(false),
            Some(Command::Mask(secrets)) => ToRunner::Mask(secrets),
            Some(Command::Care(claim, care)) => {
                let rules = care.rules;
                self.send(&ToRunner::Care(claim.clone(), care))?;
                if rules == ArtifactRules::default() || self.protocol < RULES_PROTOCOL {
                    return Ok(false);
                }
                ToRunner::Rules(claim, rules)
            }
            Some(Command::Assign(assign)) => ToRunner::Assign(assign),
            // Its attempt was rejected.
            Some(Command::Agent(..)) if self.protocol < AGENT_PROTOCOL => return Ok(false),
            Some(Command::Agent(claim, order)) => ToRunner::Agent(claim, order),
            Some(Command::Stop { claim, kill }) => {
                ToRunner::Cancel(claim, if kill { CancelMode::Kill } else { CancelMode::Term })
            }
            Some(Command::Verdict { claim, verdict }) => {
                self.unjudged.remove(&claim);
                ToRunner::ResultAck(claim, verdict)
            }
            Some(Command::Release) | None => {
                self.released = Some(self.clock.mark());
                ToRunner::Shutdown(ShutdownWhen::Idle)
            }
        };
        self.send(&message)?;
        Ok(false)
    }

    fn beat_in(&self) -> Duration {
        let beat = Duration::from_millis(HEARTBEAT_MS);
        if self.released.is_some() { beat.min(LEAVE_WITHIN / 5) } else { beat }
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), Error> {
        match decode::<FromRunner>(frame)? {
            FromRunner::Event(event) => self.take_event(event),
            // The run is over and knew nothing of this one.
            FromRunner::Result(result) if self.released.is_some() => {
                self.send(&ToRunner::ResultAck(result.claim, ResultVerdict::Fenced))?;
            }
            FromRunner::Result(result) => self.take_result(result),
            FromRunner::Reject(claim, reason) => {
                self.outgoing.push_back(PoolEvent::Rejected { claim, reason });
            }
            // One that reads nothing needs no sign of life.
            FromRunner::Heartbeat(_) if !self.out.is_empty() => {}
            FromRunner::Heartbeat(_) => self.send(&ToRunner::Heartbeat)?,
            FromRunner::Ask(question) => {
                if !self.keeping.ask(question) {
                    return Err(Error::Protocol("too many questions".to_owned()));
                }
            }
            FromRunner::Accept(_) | FromRunner::Draining(..) => {}
            message @ (FromRunner::Hello(_) | FromRunner::Ready) => {
                return Err(Error::Protocol(format!("unexpected {}", name(&message))));
            }
        }
        Ok(())
    }

    fn take_event(&mut self, event: AttemptEvent) {
        self.pending_bytes += size(&event);
        if self.pending_since.is_none() {
            self.pending_since = Some(self.clock.mark());
        }
        let claim = event.claim.clone();
        if matches!(event.kind, EventKind::Started { .. }) {
            self.begun.push((claim.clone(), self.clock.now()));
        }
        if let EventKind::Tool(result) = &event.kind {
            self.called.push((claim.clone(), event.seq, result.clone()));
        }
        let (_, list) =
            self.pending.entry(claim.attempt.clone()).or_insert_with(|| (claim, Vec::new()));
        list.push(event);
        if self.pending_bytes >= FLUSH_BYTES {
            self.start_flush();
        }
    }

    fn take_result(&mut self, result: AttemptResult) {
        if self.flushing.contains(&result.claim) {
            self.unjudged.insert(result.claim.clone(), MIN_COST + result.output_json.len());
            self.parked.push(result);
            return;
        }
        let tail =
            self.pending.remove(&result.claim.attempt).map(|(_, tail)| tail).unwrap_or_default();
        self.begun.retain(|(claim, _)| *claim != result.claim);
        self.called.retain(|(claim, ..)| *claim != result.claim);
        let tail_bytes = tail.iter().map(size).sum::<usize>();
        self.pending_bytes -= tail_bytes;
        let result_bytes = MIN_COST + result.output_json.len();
        self.unjudged.insert(result.claim.clone(), tail_bytes + result_bytes);
        if self.pending.is_empty() {
            self.pending_since = None;
        }
        self.outgoing.push_back(PoolEvent::Ended(Box::new(Ended { tail, result })));
    }

    /// How long pending events may still wait; `None` when there are none or a write is under way.
    fn flush_in(&self) -> Option<Duration> {
        if self.flush.is_some() {
            return None;
        }
        self.pending_since.map(|since| FLUSH_AFTER.saturating_sub(self.clock.elapsed(since)))
    }

    fn start_flush(&mut self) {
        if self.flush.is_some() || self.pending.is_empty() {
            return;
        }
        let mut batch: Vec<_> = self.pending.drain().map(|(_, entry)| entry).collect();
        // Transactions lock attempts in one order.
        batch.sort_by(|(a, _), (b, _)| a.attempt.cmp(&b.attempt));
        self.pending_bytes = 0;
        self.pending_since = None;
        self.flushing = batch.iter().map(|(claim, _)| claim.clone()).collect();
        self.started = std::mem::take(&mut self.begun);
        self.storing = std::mem::take(&mut self.called);
        let (store, runner, epoch) = (self.store.clone(), self.runner.clone(), self.epoch);
        self.flush =
            Some(Box::pin(async move { store.append_events_of((&runner, epoch), batch).await }));
    }

    fn flushed(&mut self, appended: Vec<Appended>) -> Result<(), Error> {
        self.flushing.clear();
        for entry in appended {
            let is_stored = |(claim, seq, _): &Called| {
                *claim != entry.claim || entry.ack_seq.is_some_and(|stored| *seq <= stored)
            };
            self.storing.retain(is_stored);
            let message = match entry.ack_seq {
                Some(seq) => ToRunner::Ack(entry.claim, seq),
                None => ToRunner::ResultAck(entry.claim, ResultVerdict::Fenced),
            };
            self.send(&message)?;
        }
        for (claim, at) in std::mem::take(&mut self.started) {
            self.outgoing.push_back(PoolEvent::Started { claim, at });
        }
        for (claim, _, result) in std::mem::take(&mut self.storing) {
            self.outgoing.push_back(PoolEvent::Tool { claim, result });
        }
        for result in std::mem::take(&mut self.parked) {
            self.take_result(result);
        }
        if self.pending_bytes >= FLUSH_BYTES {
            self.start_flush();
        }
        Ok(())
    }
}

/// Why a runner is not the one this socket was made for, or speaks otherwise.
fn objection(hello: &Hello, (runner, token): (&RunnerId, &str)) -> Option<(CloseCode, String)> {
    if !(OLDEST_PROTOCOL..=PROTOCOL).contains(&hello.protocol) {
        return Some((CloseCode::Version, format!("this engine speaks protocol {PROTOCOL}")));
    }
    let is_ours = hello.runner == *runner && same(&hello.token, token);
    let reason = "not the runner this socket was made for".to_owned();
    (!is_ours).then_some((CloseCode::Auth, reason))
}

/// Tells for each attempt the runner still holds what the store says about it.
async fn verdicts(
    store: &Store,
    runner: &RunnerId,
    hello: &Hello,
) -> Result<Vec<ResumeVerdict>, Error> {
    if hello.resume.is_empty() {
        return Ok(Vec::new());
    }
    let known = store.claims_of(runner).await?;
    let verdict = |claim: &Claim| {
        let row = known.iter().find(|row| row.claim == *claim);
        ResumeVerdict {
            claim: claim.clone(),
            verdict: if row.is_some() { Verdict::Continue } else { Verdict::Abandon },
            acked: row.map_or(0, |row| row.ack_seq),
        }
    };
    Ok(hello.resume.iter().map(|held| verdict(&held.claim)).collect())
}

async fn next_flush(flush: &mut Option<Flush>) -> Result<Vec<Appended>, plue_store::Error> {
    match flush {
        Some(flush) => flush.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn receive(frames: &mut Frames) -> Result<FromRunner, Error> {
    let closed = || Error::Protocol("the connection closed before the greeting ended".to_owned());
    let frame = tokio::time::timeout(SILENCE, frames.next()).await.map_err(|_| closed())?;
    Ok(decode(&frame.ok_or_else(closed)?.map_err(Error::Connection)?)?)
}

/// Compares two secrets in a time that does not depend on where they differ.
fn same(a: &str, b: &str) -> bool {
    // Digests have one length, so that not even the length of a secret shows.
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}
