//! One output stream of a step: read without waiting, in portions, cut into chunks, masked.
//!
//! A portion is the result of one system call, so that the caller can read the other stream between
//! two of them. It reads the pipe directly: tokio's readiness is as old as its last wait.
//!
//! Every byte that was read comes out again, or is counted. Must not know budgets or processes.

use std::io;

use plue_runtime::mask::MaskStream;
use plue_wire::{
    eval::Bytes,
    runner::{EventKind, MAX_CHUNK_BYTES},
};
use rustix::{buffer::spare_capacity, io::Errno};
use tokio::net::unix::pipe;

/// Bytes of the pipe of a step that prints much; fewer switches between it and the runner.
const WIDE_PIPE_BYTES: usize = 512 * 1024;

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    Stdout,
    Stderr,
}

#[derive(Debug)]
pub(super) struct OutputStream {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    mask: MaskStream,
    is_wide: bool,
}

/// The outcome of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The pipe is empty for now.
    Waiting,
    /// Bytes came; there may be more.
    Some,
    /// The buffer is full.
    Full,
    /// No process has the other end open.
    Closed,
}

// === impl StreamKind ===

impl StreamKind {
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

// === impl OutputStream ===

impl OutputStream {
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

    /// Waits until bytes can be read; pending when closed. Cancel-safe.
    pub(super) async fn readable(&self) {
        match &self.pipe {
            // An error shows again in the read that follows.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Reads one portion without waiting.
    pub(super) fn read(&mut self) -> Progress {
        let Some(pipe) = &self.pipe else {
            return Progress::Closed;
        };
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(MAX_CHUNK_BYTES);
        }
        let read = match rustix::io::read(pipe, spare_capacity(&mut self.buffer)) {
            // Also informs tokio that the pipe is empty; else it would not wait for the next bytes.
            Err(Errno::AGAIN) => pipe.try_read_buf(&mut self.buffer),
            read => read.map_err(io::Error::from),
        };
        match read {
            Ok(0) => {
                self.pipe = None;
                return Progress::Closed;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Waiting,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Progress::Some,
            Err(_) => {
                self.pipe = None;
                return Progress::Closed;
            }
        }
        if self.buffer.len() < MAX_CHUNK_BYTES {
            return Progress::Some;
        }
        if !self.is_wide {
            self.is_wide = true;
            let _stays_narrow = rustix::pipe::fcntl_setpipe_size(pipe, WIDE_PIPE_BYTES);
        }
        Progress::Full
    }

    /// The bytes read so far, masked; a possible start of a secret stays in the mask.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        // Short lines are copied, so that many of them do not occupy a whole buffer each.
        let bytes = if self.buffer.len() < MAX_CHUNK_BYTES / 4 {
            let copy = self.buffer.clone();
            self.buffer.clear();
            copy
        } else {
            std::mem::take(&mut self.buffer)
        };
        self.mask.push(bytes)
    }

    /// The rest of the mask's buffer, after the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.pipe = None;
        let mut bytes = self.flush();
        bytes.extend(self.mask.finish());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use plue_runtime::mask::Secrets;

    use super::*;

    #[tokio::test]
    async fn portions_of_both_streams_are_read_in_turn() {
        let made = [pipe::pipe().unwrap(), pipe::pipe().unwrap()];
        let [(out, stdout), (err, stderr)] = made;
        let secrets = Secrets::default();
        let mut streams = [stdout, stderr].map(|pipe| OutputStream::new(pipe, secrets.stream()));
        // The reader never waits in between, so tokio's readiness is old.
        let mut order = Vec::new();
        for number in 0..200_usize {
            let (sender, stream) = ([&out, &err][number % 2], number % 2);
            let line = format!("{number}\n");
            // As a step does, and not through tokio, which would have to wait first.
            assert_eq!(rustix::io::write(sender, line.as_bytes()).unwrap(), line.len());
            let progress = [0, 1].map(|stream| streams[stream].read());
            assert_eq!(
                (progress[stream], progress[1 - stream]),
                (Progress::Some, Progress::Waiting)
            );
            order.extend(streams[stream].flush());
        }
        let expected: String = (0..200).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(order).unwrap(), expected);
    }

    #[tokio::test]
    async fn long_output_comes_in_whole_chunks() {
        let (sender, pipe) = pipe::pipe().unwrap();
        let mut stream = OutputStream::new(pipe, Secrets::default().stream());
        let sent = vec![b'x'; MAX_CHUNK_BYTES];
        assert_eq!(rustix::io::write(&sender, &sent).unwrap(), MAX_CHUNK_BYTES);
        assert_eq!(stream.read(), Progress::Full);
        assert_eq!(stream.flush().len(), MAX_CHUNK_BYTES);
        drop(sender);
        assert_eq!(stream.read(), Progress::Closed);
    }
}
