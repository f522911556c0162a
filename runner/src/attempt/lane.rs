//! One output stream of a step: read without waiting, cut into chunks, masked.
//!
//! Every byte that was read comes out again, or is counted. Must not know budgets or processes.

use std::io;

use plue_runtime::mask::MaskStream;
use plue_wire::{
    eval::Bytes,
    runner::{EventKind, MAX_CHUNK_BYTES},
};
use tokio::net::unix::pipe;

/// Bytes of the pipe of a step that prints much; fewer switches between it and the runner.
const WIDE_PIPE_BYTES: usize = 512 * 1024;

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    mask: MaskStream,
    is_wide: bool,
}

/// What reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The pipe is empty for now.
    Waiting,
    /// The buffer is full.
    Full,
    /// Nobody holds the other end any more.
    Closed,
}

// === impl Stream ===

impl Stream {
    /// Standard error for standard output, and the reverse.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Stdout => Self::Stderr,
            Self::Stderr => Self::Stdout,
        }
    }

    /// An event of this stream.
    pub(super) fn event(self, bytes: Vec<u8>) -> EventKind {
        match self {
            Self::Stdout => EventKind::Stdout(Bytes(bytes)),
            Self::Stderr => EventKind::Stderr(Bytes(bytes)),
        }
    }
}

// === impl Lane ===

impl Lane {
    pub(super) fn new(pipe: pipe::Receiver, mask: MaskStream) -> Self {
        Self { pipe: Some(pipe), buffer: Vec::new(), mask, is_wide: false }
    }

    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Whether bytes wait to be flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Waits until there is something to read; for ever when closed. Cancel-safe.
    pub(super) async fn readable(&self) {
        match &self.pipe {
            // An error shows again in the read that follows.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Reads what is there, until the buffer is full.
    pub(super) fn read(&mut self) -> Progress {
        let Some(pipe) = &self.pipe else {
            return Progress::Closed;
        };
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(MAX_CHUNK_BYTES);
        }
        while self.buffer.len() < MAX_CHUNK_BYTES {
            match pipe.try_read_buf(&mut self.buffer) {
                Ok(0) => {
                    self.pipe = None;
                    return Progress::Closed;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Waiting;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.pipe = None;
                    return Progress::Closed;
                }
            }
        }
        if !self.is_wide {
            self.is_wide = true;
            let _stays_narrow = rustix::pipe::fcntl_setpipe_size(pipe, WIDE_PIPE_BYTES);
        }
        Progress::Full
    }

    /// The bytes read so far, masked; the start of what may be a secret stays.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        self.mask.push(std::mem::take(&mut self.buffer))
    }

    /// What the mask still holds, after the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.pipe = None;
        let mut bytes = self.flush();
        bytes.extend(self.mask.finish());
        bytes
    }
}
