//! One connection of one runner: frames in, events to the store, acknowledgements after commit.
//!
//! Must not acknowledge anything that is not committed, and must pass a result on only with every
//! event before it.

mod events;
mod message;
mod remote;

use std::{collections::VecDeque, time::Duration};

use futures::StreamExt as _;
use plue_plan::{RunnerId, artifacts::ArtifactRules};
use plue_runtime::{Clock, clock::Mark};
use plue_store::Store;
use plue_wire::{
    decode,
    runner::{
        AGENT_PROTOCOL, CancelMode, Claim, CloseCode, FromRunner, HEARTBEAT_MS, Hello,
        MASKS_PROTOCOL, MAX_FRAME_BYTES, MOVES_PROTOCOL, OLDEST_PROTOCOL, OUTPUTS_PROTOCOL,
        PROTOCOL, RULES_PROTOCOL, ResultVerdict, ResumeVerdict, RunnerWorkspace, ShutdownWhen,
        ToRunner, Verdict, Welcome,
    },
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
};
use tokio_util::{
    bytes::BytesMut,
    codec::{FramedRead, LengthDelimitedCodec},
};

pub(crate) use self::remote::Takeover;
use self::{
    events::EventBuffer,
    message::{name, needed},
    remote::RemoteSession,
};
use crate::{
    content::{ContentService, RunLimits},
    error::Error,
    lease::{Command, EVENT_QUEUE, PoolEvent, Tagged},
};

/// Nothing more is read while this many bytes wait for the store or, behind a result, for the run.
const PENDING_BYTES: usize = 4 * 1024 * 1024;
/// No command is taken and nothing new is stored while this many bytes wait for the runner to read.
const OUT_BYTES: usize = 4 * 1024 * 1024;
/// Time limit for writing queued frames before a connection is closed.
const WRITE_REST_WITHIN: Duration = Duration::from_secs(1);
/// Grace time of a runner to end after its release.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Silence after which the connection counts as dead.
const SILENCE: Duration = Duration::from_secs(15);

type Frames<R> = FramedRead<R, LengthDelimitedCodec>;

/// A connection of a runner over any byte stream.
pub(crate) struct Connection<R, W> {
    pub(crate) frames: Frames<R>,
    pub(crate) write: W,
    /// The greeting, if it was read already.
    pub(crate) hello: Option<Hello>,
}

/// The proof that a session demands of a greeting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Credential<'a> {
    /// The token that this runner was started with.
    Token(&'a str),
    /// The proof was checked; the hash of the row stands for it.
    Checked(&'a str),
}

/// The end of a connection without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The run is over and the runner was ordered to stop.
    Released,
    /// The runner is gone; it may come back.
    Disconnected,
    /// The lease was given up and the runner continues.
    Detached,
}

/// The state of one connection.
pub(crate) struct Session<'a> {
    store: &'a Store,
    clock: &'a Clock,
    runner: &'a RunnerId,
    credential: Credential<'a>,
    events: EventBuffer,
    content: ContentService,
    /// Frames that the runner has not read. Written independently of reading: a runner that sends
    /// and does not read must not block the session.
    out: BytesMut,
    /// Reports that the run has not taken. They must not block commands: the run may be waiting
    /// for the effect of one.
    outgoing: VecDeque<PoolEvent>,
    /// The protocol version of the runner.
    protocol: u32,
    moving: Moving,
    /// Time at which the runner was ordered to leave, by [`Command::Release`] or the end of the
    /// lease.
    released: Option<Mark>,
    remote: RemoteSession,
}

// === impl Connection ===

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    /// A connection on which nothing was exchanged.
    pub(crate) fn new(read: R, write: W) -> Self {
        Self { frames: frames(read, MAX_FRAME_BYTES), write, hello: None }
    }
}

/// Splits a stream into frames of at most `cap` bytes.
pub(crate) fn frames<R: AsyncRead>(read: R, cap: usize) -> Frames<R> {
    let codec = LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_length(4)
        .max_frame_length(cap)
        .new_codec();
    FramedRead::new(read, codec)
}

/// The moves of the runner between workspaces.
struct Moving {
    limits: RunLimits,
    /// Waits for the runner to report that it has left its run.
    leaving: Option<oneshot::Sender<bool>>,
    /// The workspace of a runner that can move.
    place: Option<RunnerWorkspace>,
    /// The other side is certainly the runner, as it was started: not a step with its token.
    is_proven: bool,
}

// === impl Session ===

impl<'a> Session<'a> {
    pub(crate) fn new(
        store: &'a Store,
        clock: &'a Clock,
        runner: &'a RunnerId,
        credential: Credential<'a>,
        limits: RunLimits,
    ) -> Self {
        Self {
            store,
            clock,
            runner,
            credential,
            events: EventBuffer::new(store, clock, runner),
            content: ContentService::new(store, clock, runner, limits),
            out: BytesMut::new(),
            outgoing: VecDeque::new(),
            protocol: 0,
            moving: Moving { limits, leaving: None, place: None, is_proven: false },
            released: None,
            remote: RemoteSession::default(),
        }
    }

    /// Whether the greeting went well.
    pub(crate) fn was_ready(&self) -> bool {
        self.events.epoch() > 0
    }

    /// The same with the workspace of a runner that can move. `is_proven`: the other side is certainly the
    /// runner as it was started, which alone may report that it has left a run.
    pub(crate) fn at(self, place: Option<RunnerWorkspace>, is_proven: bool) -> Self {
        Self { moving: Moving { place, is_proven, ..self.moving }, ..self }
    }

    /// The workspace of a runner that can move.
    pub(crate) fn place(self) -> Option<RunnerWorkspace> {
        self.moving.place
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        connection: Connection<R, W>,
        events: &mpsc::Sender<PoolEvent>,
        commands: &mut mpsc::Receiver<Tagged>,
    ) -> Result<SessionEnd, Error> {
        let end = self.exchange(connection, events, commands).await;
        if matches!(end, Ok(SessionEnd::Disconnected) | Err(Error::Connection(_))) {
            self.events.store_rest().await?;
        }
        end
    }

    async fn exchange<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        mut connection: Connection<R, W>,
        events: &mpsc::Sender<PoolEvent>,
        commands: &mut mpsc::Receiver<Tagged>,
    ) -> Result<SessionEnd, Error> {
        let greeted = self.greet(&mut connection).await;
        let Connection { mut frames, mut write, .. } = connection;
        if greeted.is_err() {
            // The queue may contain the reason of the refusal.
            self.write_rest(&mut write).await;
        }
        greeted?;
        let mut last_received = self.clock.mark();
        loop {
            let (deadline, beat) = (self.events.flush_in(), self.beat_in());
            let has_room = self.out.len() < OUT_BYTES;
            let readable =
                self.events.waiting_bytes() < PENDING_BYTES && self.outgoing.len() < EVENT_QUEUE;
            // Biased: acknowledgements and commands first, they make room at the other side.
            tokio::select! {
                biased;
                appended = self.events.written() => {
                    let flushed = self.events.flushed(appended?);
                    flushed.acks.iter().try_for_each(|ack| self.send(ack))?;
                    self.outgoing.extend(flushed.reports);
                }
                written = write.write_buf(&mut self.out), if !self.out.is_empty() => match written {
                    Ok(_) => {}
                    // Frames of the runner may still be readable.
                    Err(_) => self.out.clear(),
                },
                permit = events.reserve(), if !self.outgoing.is_empty() => {
                    match (permit, self.outgoing.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // The run is over.
                        (Err(_), _) | (_, None) => self.outgoing.clear(),
                    }
                }
                () = self.remote.superseded() => {
                    let reason = "a newer session of the runner exists".to_owned();
                    self.send(&ToRunner::Close(CloseCode::Superseded, reason))?;
                    self.write_rest(&mut write).await;
                    return Ok(SessionEnd::Disconnected);
                }
                command = commands.recv(), if self.released.is_none() && has_room => {
                    if self.command(command)? {
                        self.write_rest(&mut write).await;
                        return Ok(SessionEnd::Detached);
                    }
                }
                answer = self.content.next(), if has_room => {
                    self.send(&ToRunner::Answer(answer))?;
                }
                frame = frames.next(), if readable => {
                    last_received = self.clock.mark();
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
                    self.events.start_flush();
                }
                () = self.clock.sleep(beat) => {
                    if let Some(end) = self.beat(last_received)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Sends a heartbeat, unless the session is over.
    fn beat(&mut self, last_received: Mark) -> Result<Option<SessionEnd>, Error> {
        if self.released.is_some_and(|at| self.clock.elapsed(at) > LEAVE_WITHIN) {
            return Ok(Some(SessionEnd::Released));
        }
        if self.clock.elapsed(last_received) > SILENCE {
            return Ok(Some(SessionEnd::Disconnected));
        }
        if self.out.is_empty() {
            self.send(&ToRunner::Heartbeat)?;
        }
        Ok(None)
    }

    /// Queues a message for the runner.
    fn send(&mut self, message: &ToRunner) -> Result<(), Error> {
        self.out.extend_from_slice(&plue_wire::encode(message, MAX_FRAME_BYTES)?);
        Ok(())
    }

    /// Writes queued frames before the connection is closed.
    async fn write_rest<W: AsyncWrite + Unpin>(&mut self, write: &mut W) {
        let written = async {
            write.write_all_buf(&mut self.out).await?;
            write.flush().await
        };
        let _not_read = tokio::time::timeout(WRITE_REST_WITHIN, written).await;
    }

    /// Exchanges `Hello`, `Welcome` and `Ready`.
    async fn greet<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<R, W>,
    ) -> Result<(), Error> {
        let Connection { frames, write, hello } = connection;
        let hello = match hello.take() {
            Some(hello) => hello,
            None => match receive(frames).await? {
                FromRunner::Hello(hello) => hello,
                other => {
                    return Err(Error::Protocol(format!("expected Hello, got {}", name(&other))));
                }
            },
        };
        let epoch = self.admit(&hello).await?;
        let resume = verdicts(self.store, self.runner, &hello).await?;
        let owned: Vec<Claim> = resume
            .iter()
            .filter(|entry| entry.verdict != Verdict::Abandon)
            .map(|entry| entry.claim.clone())
            .collect();
        self.send(&ToRunner::Welcome(Welcome { epoch, resume }))?;
        write.write_all_buf(&mut self.out).await.map_err(Error::Connection)?;
        write.flush().await.map_err(Error::Connection)?;
        match receive(frames).await? {
            FromRunner::Ready => {}
            other => {
                return Err(Error::Protocol(format!("expected Ready, got {}", name(&other))));
            }
        }
        if !self.store.runners().ready(self.runner, epoch, self.clock.now()).await? {
            return Err(Error::Protocol("a newer session took over".to_owned()));
        }
        // The message that named it may have been lost with an earlier session.
        if let Some(place) = self.moving.place.clone().filter(|_| self.protocol >= MOVES_PROTOCOL) {
            self.send(&ToRunner::Enter(place))?;
        }
        self.events.open(epoch);
        self.begin(epoch, owned)
    }

    /// Checks a greeting and opens the session in the store; returns its epoch.
    async fn admit(&mut self, hello: &Hello) -> Result<u64, Error> {
        if let Some((code, reason)) = objection(hello, self.runner, self.credential) {
            self.send(&ToRunner::Close(code, reason.clone()))?;
            return Err(Error::Protocol(reason));
        }
        self.protocol = hello.protocol;
        let hash = match self.credential {
            Credential::Token(_) => hex::encode(Sha256::digest(hello.token.as_bytes())),
            Credential::Checked(hash) => hash.to_owned(),
        };
        let hello_at = self.clock.now();
        match self.store.runners().greet(self.runner, &hash, &hello.boot, hello_at).await {
            Ok(epoch) => Ok(epoch),
            Err(error @ plue_store::Error::UnknownRunner(_)) => {
                // Stops the runner from dialing again.
                self.send(&ToRunner::Close(CloseCode::Unknown, error.to_string()))?;
                Err(Error::Protocol(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Starts with the next run's workspace. Content of the last run does not count for it.
    fn enter(&mut self, place: RunnerWorkspace) -> ToRunner {
        let Self { store, clock, runner, moving: Moving { limits, .. }, .. } = *self;
        self.content = ContentService::new(store, clock, runner, limits);
        self.moving.place = Some(place.clone());
        ToRunner::Enter(place)
    }

    /// Executes a command; `true` if the session is to be detached.
    fn command(&mut self, tagged: Option<Tagged>) -> Result<bool, Error> {
        let is_stale = tagged.as_ref().is_some_and(|tagged| tagged.epoch != self.events.epoch());
        let message = match tagged.map(|tagged| tagged.command) {
            Some(Command::Detach) => return Ok(true),
            Some(Command::Workspace(spec)) => {
                self.prepare(spec)?;
                return Ok(false);
            }
            Some(Command::Redirect(reason)) => {
                self.send(&ToRunner::Redirect(reason))?;
                return Ok(true);
            }
            Some(
                Command::Mask(_)
                | Command::Outputs(..)
                | Command::Assign(_)
                | Command::Agent(..)
                | Command::Stop { .. }
                | Command::Leave(_)
                | Command::Verdict { .. },
            ) if is_stale => {
                return Ok(false);
            }
            Some(Command::Outputs(..)) if self.protocol < OUTPUTS_PROTOCOL => return Ok(false),
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
            Some(Command::Outputs(claim, outputs)) => {
                let rules = outputs.rules;
                self.send(&ToRunner::Outputs(claim.clone(), outputs))?;
                if rules == ArtifactRules::default() || self.protocol < RULES_PROTOCOL {
                    return Ok(false);
                }
                ToRunner::Rules(claim, rules)
            }
            Some(Command::Assign(assign)) => ToRunner::Assign(assign),
            // The attempt was rejected.
            Some(Command::Agent(..)) if self.protocol < AGENT_PROTOCOL => return Ok(false),
            Some(Command::Agent(claim, order)) => ToRunner::Agent(claim, order),
            Some(Command::Stop { claim, kill }) => {
                ToRunner::Cancel(claim, if kill { CancelMode::Kill } else { CancelMode::Term })
            }
            Some(Command::Verdict { claim, verdict }) => {
                self.events.judged(&claim);
                ToRunner::ResultAck(claim, verdict)
            }
            Some(Command::Leave(answer)) => {
                if self.protocol < MOVES_PROTOCOL || !self.moving.is_proven {
                    let _not_awaited = answer.send(false);
                    return Ok(false);
                }
                self.moving.leaving = Some(answer);
                ToRunner::Leave
            }
            Some(Command::Enter(place)) => self.enter(place),
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
            FromRunner::Event(event) => self.events.push(event),
            // The run is over and has no such attempt.
            FromRunner::Result(result) if self.released.is_some() => {
                self.send(&ToRunner::ResultAck(result.claim, ResultVerdict::Fenced))?;
            }
            FromRunner::Result(result) => {
                let ended = self.events.end(result);
                self.outgoing.extend(ended.map(|ended| PoolEvent::Ended(Box::new(ended))));
            }
            FromRunner::Reject(claim, reason) => {
                self.outgoing.push_back(PoolEvent::Rejected { claim, reason });
            }
            // A runner that reads nothing needs no heartbeat.
            FromRunner::Heartbeat(_) if !self.out.is_empty() => {}
            FromRunner::Heartbeat(_) => self.send(&ToRunner::Heartbeat)?,
            FromRunner::Ask(question) => {
                if !self.content.ask(question) {
                    return Err(Error::Protocol("too many questions".to_owned()));
                }
            }
            FromRunner::Workspace(report) => self.prepared(report)?,
            FromRunner::Draining(..) => self.remote.drain(),
            FromRunner::Accept(_) => {}
            FromRunner::Left(is_clean) => {
                if let Some(answer) = self.moving.leaving.take() {
                    let _not_awaited = answer.send(is_clean);
                }
            }
            message @ (FromRunner::Hello(_) | FromRunner::Ready) => {
                return Err(Error::Protocol(format!("unexpected {}", name(&message))));
            }
        }
        Ok(())
    }
}

/// The objection to a greeting: wrong version, runner or token.
fn objection(
    hello: &Hello,
    runner: &RunnerId,
    credential: Credential<'_>,
) -> Option<(CloseCode, String)> {
    if !(OLDEST_PROTOCOL..=PROTOCOL).contains(&hello.protocol) {
        return Some((CloseCode::Version, format!("this engine speaks protocol {PROTOCOL}")));
    }
    let is_proven = match credential {
        Credential::Token(token) => same(&hello.token, token),
        Credential::Checked(_) => true,
    };
    let is_ours = hello.runner == *runner && is_proven;
    let reason = "not the runner this socket was made for".to_owned();
    (!is_ours).then_some((CloseCode::Auth, reason))
}

/// The store's verdict on each attempt that the runner still owns.
async fn verdicts(
    store: &Store,
    runner: &RunnerId,
    hello: &Hello,
) -> Result<Vec<ResumeVerdict>, Error> {
    if hello.resume.is_empty() {
        return Ok(Vec::new());
    }
    let known = store.attempts().claims_of(runner).await?;
    let verdict = |claim: &Claim| {
        let row = known.iter().find(|row| row.claim == *claim);
        ResumeVerdict {
            claim: claim.clone(),
            verdict: if row.is_some() { Verdict::Continue } else { Verdict::Abandon },
            acked: row.map_or(0, |row| row.ack_seq),
        }
    };
    Ok(hello.resume.iter().map(|entry| verdict(&entry.claim)).collect())
}

async fn receive<R: AsyncRead + Unpin>(frames: &mut Frames<R>) -> Result<FromRunner, Error> {
    let closed = || Error::Protocol("the connection closed before the greeting ended".to_owned());
    let frame = tokio::time::timeout(SILENCE, frames.next()).await.map_err(|_| closed())?;
    Ok(decode(&frame.ok_or_else(closed)?.map_err(Error::Connection)?)?)
}

/// Compares two secrets in a time that does not depend on where they differ.
fn same(a: &str, b: &str) -> bool {
    // Digests have one length, so that not even the length of a secret shows.
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}
