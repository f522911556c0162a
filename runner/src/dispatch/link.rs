//! The session with the engine: one connection at a time, dialed again when it breaks.
//!
//! Must not know attempts.

use std::{future::Future, io, pin::Pin, time::Duration};

use plue_plan::RunnerId;
use plue_runtime::{Clock, Ids, clock::Mark};
use plue_wire::{
    FrameError,
    runner::{FromRunner, HEARTBEAT_MS, Hello, PROTOCOL, Resume, ToRunner},
};

use crate::{
    boot,
    boot::Token,
    link::{Dial, Link, Pauses, Turn, dial_after, fraction},
};

/// The connection of a runner, with the times of its last signs of life.
pub(super) struct EngineLink<D: Dial> {
    identity: Identity,
    dial: D,
    clock: Clock,
    ids: Ids,
    connection: Connection<D::Stream>,
    pauses: Pauses,
    /// Time of the last message of the engine, on any connection.
    last_received: Mark,
    connected: Mark,
    last_beat: Mark,
    /// Until the next heartbeat, jittered.
    beat_every: Duration,
}

/// The fields of [`Hello`] that never change.
pub(super) struct Identity {
    pub(super) runner: RunnerId,
    pub(super) boot: String,
    pub(super) token: Token,
}

/// The outcome of waiting for the connection.
pub(super) enum LinkEvent<S> {
    Connected(io::Result<S>),
    Turned(io::Result<Turn>),
}

type Dialing<S> = Pin<Box<dyn Future<Output = io::Result<S>>>>;

enum Connection<S> {
    Down(Dialing<S>),
    Up { link: Link<S>, is_welcome: bool },
}

// === impl EngineLink ===

impl<D: Dial + Clone + 'static> EngineLink<D> {
    pub(super) fn new(identity: Identity, dial: D, clock: Clock, ids: Ids) -> Self {
        let mut pauses = Pauses::new(ids.clone(), dial.longest_pause());
        let connection = Connection::dial(&dial, clock, pauses.next());
        let mark = clock.mark();
        Self {
            identity,
            dial,
            clock,
            ids,
            connection,
            pauses,
            last_received: mark,
            connected: mark,
            last_beat: mark,
            beat_every: Duration::from_millis(HEARTBEAT_MS),
        }
    }

    /// Waits for a connection, or for bytes on the one that is up. Cancel-safe: a dial in progress
    /// continues with the next call.
    pub(super) async fn wait(&mut self) -> LinkEvent<D::Stream> {
        match &mut self.connection {
            Connection::Down(dialing) => LinkEvent::Connected(dialing.await),
            Connection::Up { link, .. } => LinkEvent::Turned(link.turn().await),
        }
    }

    /// Opens a session on a new connection with the attempts to resume.
    pub(super) fn greet(
        &mut self,
        stream: D::Stream,
        resume: Vec<Resume>,
    ) -> Result<(), FrameError> {
        let Identity { runner, boot, token } = &self.identity;
        let hello = FromRunner::Hello(Hello {
            protocol: PROTOCOL,
            runner: runner.clone(),
            boot: boot.clone(),
            token: token.read(),
            facts: boot::facts(runner),
            resume,
        });
        let mut link = Link::new(stream);
        link.send(&hello)?;
        self.connected = self.clock.mark();
        self.connection = Connection::Up { link, is_welcome: false };
        Ok(())
    }

    /// Gives the connection up and dials again after a pause.
    pub(super) fn redial(&mut self) {
        let pause = self.pauses.next();
        self.connection = Connection::dial(&self.dial, self.clock, pause);
    }

    /// Queues a message; drops it without a connection.
    pub(super) fn send(&mut self, message: &FromRunner) -> Result<(), FrameError> {
        match &mut self.connection {
            Connection::Up { link, .. } => link.send(message),
            Connection::Down(_) => Ok(()),
        }
    }

    /// The next whole message; `None` without one.
    ///
    /// # Errors
    /// The stream is out of step; the connection must be given up.
    pub(super) fn receive(&mut self) -> Result<Option<ToRunner>, FrameError> {
        let Connection::Up { link, .. } = &mut self.connection else { return Ok(None) };
        let message = link.receive()?;
        if message.is_some() {
            self.last_received = self.clock.mark();
        }
        Ok(message)
    }

    /// The queue of frames; `None` while it is full or no session is open.
    pub(super) fn room(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.connection {
            Connection::Up { link, is_welcome: true } => link.room(),
            Connection::Up { .. } | Connection::Down(_) => None,
        }
    }

    /// The engine has accepted the session.
    pub(super) fn welcome(&mut self) {
        if let Connection::Up { is_welcome, .. } = &mut self.connection {
            *is_welcome = true;
        }
        self.pauses.reset();
    }

    pub(super) fn is_welcome(&self) -> bool {
        matches!(self.connection, Connection::Up { is_welcome: true, .. })
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.connection, Connection::Down(_))
    }

    /// Time since the last message of the engine, or since the connection if that is younger.
    pub(super) fn silence(&self) -> Duration {
        self.clock.elapsed(self.last_received.max(self.connected))
    }

    /// Time since the last message of the engine, on any connection.
    pub(super) fn engine_silence(&self) -> Duration {
        self.clock.elapsed(self.last_received)
    }

    /// Whether a heartbeat is due; the next interval starts if so.
    pub(super) fn take_beat(&mut self) -> bool {
        if self.clock.elapsed(self.last_beat) < self.beat_every {
            return false;
        }
        self.last_beat = self.clock.mark();
        // ±20 %, so that runners do not send all at once.
        let part = 0.8 + 0.4 * fraction(&self.ids);
        self.beat_every = Duration::from_millis(HEARTBEAT_MS).mul_f64(part);
        true
    }

    /// Writes the queue out, before the runner ends.
    pub(super) async fn write_out(&mut self) {
        if let Connection::Up { link, .. } = &mut self.connection {
            let _broken = link.write_out().await;
        }
    }
}

// === impl Connection ===

impl<S> Connection<S> {
    fn dial<D: Dial<Stream = S> + Clone + 'static>(
        dial: &D,
        clock: Clock,
        pause: Duration,
    ) -> Self {
        let dial = dial.clone();
        Self::Down(Box::pin(async move { dial_after(&dial, clock, pause).await }))
    }
}

impl<D: Dial> std::fmt::Debug for EngineLink<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineLink")
            .field("runner", &self.identity.runner)
            .field("is_up", &matches!(self.connection, Connection::Up { .. }))
            .finish_non_exhaustive()
    }
}
