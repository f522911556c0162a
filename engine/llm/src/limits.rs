//! Bounds on one answer of the API. Each has a test.

/// Bytes of one server-sent event, line ends included. The longest that the API sends hold whole
/// results of server tools.
pub const MAX_EVENT_BYTES: usize = 4 << 20;
/// Bytes of a whole stream. 128,000 output tokens in deltas of one token take about 20 MB.
pub const MAX_STREAM_BYTES: u64 = 256 << 20;
/// Content blocks of one answer.
pub const MAX_BLOCKS: usize = 4_096;
/// Bytes of the body of an error, and of any answer that is not streamed.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Characters of a foreign message that an error repeats.
pub const MAX_REASON_CHARS: usize = 500;
