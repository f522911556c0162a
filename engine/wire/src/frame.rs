//! Frames: a little-endian `u32` length, then that many bytes of postcard.
//!
//! Must not allocate an announced length before it is checked against the cap.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the length prefix.
pub const PREFIX_BYTES: usize = 4;

/// A frame that cannot be taken or made.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than the cap of this direction.
    #[error("a frame of {length} bytes is over the limit of {cap}")]
    TooLong {
        /// Announced or produced length.
        length: usize,
        /// The cap that applies.
        cap: usize,
    },
    /// The bytes are no message of this type.
    #[error("a frame is malformed")]
    Malformed(#[source] postcard::Error),
    /// Bytes follow the message inside the frame.
    #[error("a frame has {0} bytes after its message")]
    Trailing(usize),
    /// The message cannot be written.
    #[error("a message cannot be encoded")]
    Encode(#[source] postcard::Error),
}

/// Bytes of a read buffer that stay allocated between frames.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// Cuts a byte stream into frames, independent of the pieces in which it arrives.
///
/// Allocates for received bytes, never for an announced length. After an error the stream is out of
/// step and must be closed.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were handed out.
    taken: usize,
    cap: usize,
}

// === impl Splitter ===

impl Splitter {
    /// For frames of at most `cap` bytes.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self { buffer: Vec::new(), taken: 0, cap }
    }

    /// The buffer to append received bytes to. Bytes in it must not be changed or removed.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.discard_taken();
        &mut self.buffer
    }

    /// The next whole frame as a message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// Any [`FrameError`] but [`FrameError::Encode`].
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let waiting = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = length(*prefix, self.cap)?;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = decode(body)?;
        self.taken += PREFIX_BYTES + length;
        Ok(Some(message))
    }

    /// Whether bytes of an unfinished frame are waiting.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.taken < self.buffer.len()
    }

    fn discard_taken(&mut self) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        } else {
            self.buffer.drain(..self.taken);
        }
        self.taken = 0;
    }
}

/// Encodes a message with its length prefix.
///
/// # Errors
/// [`FrameError::TooLong`] over `cap`, [`FrameError::Encode`] for a value postcard refuses.
pub fn encode<T: Serialize>(message: &T, cap: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes =
        postcard::to_extend(message, vec![0; PREFIX_BYTES]).map_err(FrameError::Encode)?;
    let length = bytes.len() - PREFIX_BYTES;
    let prefix = u32::try_from(length).ok().filter(|_| length <= cap);
    let prefix = prefix.ok_or(FrameError::TooLong { length, cap })?;
    bytes[..PREFIX_BYTES].copy_from_slice(&prefix.to_le_bytes());
    Ok(bytes)
}

/// Reads a length prefix.
///
/// # Errors
/// [`FrameError::TooLong`] over `cap`.
pub fn length(prefix: [u8; PREFIX_BYTES], cap: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if length > cap {
        return Err(FrameError::TooLong { length, cap });
    }
    Ok(length)
}

/// Decodes the body of a frame; the whole body must be one message.
///
/// # Errors
/// [`FrameError::Malformed`] or [`FrameError::Trailing`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body).map_err(FrameError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing(rest.len())) }
}
