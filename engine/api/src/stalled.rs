//! Closes a connection whose peer accepts no bytes for 30 s.
//!
//! Unsent data waits in the kernel's buffers and in one buffer of the server, so that such a connection costs
//! a slot and no extra memory. Must not count time without data to send.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::future::BoxFuture;
use plue_runtime::Clock;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Time without an accepted byte.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream with a write timeout.
pub(crate) struct Stalled {
    stream: TcpStream,
    clock: Clock,
    /// Timer of a blocked write.
    waiting: Option<BoxFuture<'static, ()>>,
}

// === impl Stalled ===

impl Stalled {
    pub(crate) fn new(stream: TcpStream, clock: Clock) -> Self {
        Self { stream, clock, waiting: None }
    }

    /// The result of a write, or a timeout if it blocks for [`PATIENCE`].
    fn patient<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let clock = self.clock;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(async move { clock.sleep(PATIENCE).await }));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side does not read")))
    }
}

impl AsyncRead for Stalled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stalled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patient(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.patient(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
