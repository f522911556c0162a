//! A connection to the engine: frames over any byte stream, and the way to get a stream.
//!
//! Must not interpret messages.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use plue_runtime::{Clock, Ids};
use plue_wire::{
    FrameError, Splitter, encode,
    runner::{FromRunner, MAX_FRAME_BYTES, ToRunner},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

mod server;

pub use self::server::{Endpoint, ServerDial};

/// Bytes that are queued for the stream at most before further events are taken.
const OUT_BYTES: usize = 256 * 1024;
/// Bytes read at once. The engine sends little.
const IN_BYTES: usize = 16 * 1024;
/// Bytes of a path that fit into the address of a socket.
const SOCKET_PATH_BYTES: usize = 100;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// A way to reach the engine.
pub trait Dial {
    /// The byte stream of a connection.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// The longest pause between two attempts to connect.
    fn longest_pause(&self) -> Duration;

    /// Tries to connect once.
    ///
    /// # Errors
    /// The engine cannot be reached now.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// The engine of this machine, at a Unix socket.
#[derive(Debug, Clone)]
pub struct UnixDial(pub PathBuf);

/// An engine of this or another machine.
#[derive(Debug, Clone)]
pub enum EngineDial {
    /// At a Unix socket.
    Unix(UnixDial),
    /// At a server, over a WebSocket.
    Server(ServerDial),
}

/// Any byte stream of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

#[derive(Debug)]
pub(crate) struct Link<S> {
    stream: S,
    splitter: Splitter,
    scratch: Box<[u8]>,
    out: Vec<u8>,
    written: usize,
}

/// The outcome of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Bytes of the engine arrived.
    Received,
    /// Everything queued was written.
    Written,
}

/// Pauses between attempts to connect: random, growing, so that many runners do not reconnect at
/// the same moment ("decorrelated jitter").
#[derive(Debug)]
pub(crate) struct Pauses {
    ids: Ids,
    longest: Duration,
    last: Option<Duration>,
}

impl Dial for UnixDial {
    type Stream = UnixStream;

    /// Dialing is cheap on one machine, and the engine that recovers a run waits for it.
    fn longest_pause(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn dial(&self) -> io::Result<UnixStream> {
        let path = &self.0;
        if path.as_os_str().len() < SOCKET_PATH_BYTES {
            return UnixStream::connect(path).await;
        }
        // An address is short; a path need not be.
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let opened = std::fs::File::open(directory)?;
        let short = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&opened));
        UnixStream::connect(PathBuf::from(short).join(name)).await
    }
}

impl Dial for EngineDial {
    type Stream = Box<dyn Stream>;

    fn longest_pause(&self) -> Duration {
        match self {
            Self::Unix(dial) => dial.longest_pause(),
            Self::Server(_) => Duration::from_secs(10),
        }
    }

    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(dial) => Box::new(dial.dial().await?),
            Self::Server(dial) => Box::new(dial.open().await?),
        })
    }
}

// === impl EngineDial ===

impl EngineDial {
    /// `unix:PATH`, or the address of a server.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => Some(Self::Unix(UnixDial(path.into()))),
            None => Some(Self::Server(ServerDial::new(Endpoint::parse(text)?))),
        }
    }

    /// Trusts the certificates of this file as well.
    pub(crate) fn trust(&mut self, certificates: PathBuf) {
        if let Self::Server(dial) = self {
            dial.trust(certificates);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Unix(UnixDial(path)) if path.as_os_str().is_empty())
    }
}

// === impl Link ===

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            splitter: Splitter::new(MAX_FRAME_BYTES),
            scratch: vec![0; IN_BYTES].into_boxed_slice(),
            out: Vec::new(),
            written: 0,
        }
    }

    /// Appends a message to the queue.
    ///
    /// # Errors
    /// It is larger than a frame.
    pub(crate) fn send(&mut self, message: &FromRunner) -> Result<(), FrameError> {
        self.out.extend(encode(message, MAX_FRAME_BYTES)?);
        Ok(())
    }

    /// The queue of frames; `None` while it is full.
    pub(crate) fn room(&mut self) -> Option<&mut Vec<u8>> {
        (self.out.len() - self.written < OUT_BYTES).then_some(&mut self.out)
    }

    /// The next complete message.
    ///
    /// # Errors
    /// The stream is out of step and must be closed.
    pub(crate) fn receive(&mut self) -> Result<Option<ToRunner>, FrameError> {
        self.splitter.next_frame()
    }

    /// Writes queued frames and reads available bytes. Cancel-safe.
    ///
    /// # Errors
    /// The connection is broken, or the engine has closed it.
    pub(crate) async fn turn(&mut self) -> io::Result<Turn> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) async fn write_out(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.turn().await?;
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Turn>> {
        let had_output = !self.out.is_empty();
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, rest)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => self.written += count,
                Poll::Pending => break,
            }
        }
        if had_output && self.written == self.out.len() {
            self.out.clear();
            self.out.shrink_to(OUT_BYTES);
            self.written = 0;
            // An incomplete flush continues with the next write.
            let _later = Pin::new(&mut self.stream).poll_flush(context)?;
            return Poll::Ready(Ok(Turn::Written));
        }
        let mut buffer = ReadBuf::new(&mut self.scratch);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer)? {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if buffer.filled().is_empty() => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(()) => {
                self.splitter.buffer().extend_from_slice(buffer.filled());
                Poll::Ready(Ok(Turn::Received))
            }
        }
    }
}

// === impl Pauses ===

impl Pauses {
    pub(crate) fn new(ids: Ids, longest: Duration) -> Self {
        Self { ids, longest, last: None }
    }

    /// A session was established: the next loss starts over.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }

    /// The next pause; none before the first attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let Some(last) = self.last else {
            self.last = Some(SHORTEST_PAUSE);
            return Duration::ZERO;
        };
        let longest = (last * 3).min(self.longest);
        let pause = SHORTEST_PAUSE + (longest - SHORTEST_PAUSE).mul_f64(fraction(&self.ids));
        self.last = Some(pause);
        pause
    }
}

/// A random number from 0 to 1.
pub(crate) fn fraction(ids: &Ids) -> f64 {
    let secret = ids.secret();
    let digits = secret.get(..8).unwrap_or("0");
    f64::from(u32::from_str_radix(digits, 16).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Connects after a pause.
pub(crate) async fn dial_after<D: Dial>(
    dial: &D,
    clock: Clock,
    pause: Duration,
) -> io::Result<D::Stream> {
    if !pause.is_zero() {
        clock.sleep(pause).await;
    }
    dial.dial().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        let longest = Duration::from_secs(10);
        let mut pauses = Pauses::new(Ids::random(), longest);
        assert_eq!(pauses.next(), Duration::ZERO);
        for _ in 0..200 {
            let pause = pauses.next();
            assert!((SHORTEST_PAUSE..=longest).contains(&pause), "{pause:?}");
        }
        pauses.reset();
        assert_eq!(pauses.next(), Duration::ZERO);
    }
}
