//! Limits of test reports. `docs/reference/limits.md` lists them.

/// Files of one attempt that are read at most, in the order of their paths.
pub const MAX_FILES: usize = 64;
/// Bytes of one file. A larger one is not read.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of all files of one attempt.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Tests of one attempt.
pub const MAX_TESTS: u64 = 50_000;
/// Elements of XML inside each other.
pub const MAX_DEPTH: usize = 64;
/// Failed and flaky tests of one attempt that are kept with their text.
pub const MAX_RESULTS: usize = 500;
/// Bytes of a suite's, a test's or a file's name.
pub const MAX_NAME: usize = 512;
/// Bytes of a failure's message.
pub const MAX_MESSAGE: usize = 2 * 1024;
/// Bytes of a test's output: the first and the last half of them.
pub const MAX_OUTPUT: usize = 16 * 1024;
/// Bytes of all messages and outputs of one attempt.
pub const MAX_TEXT: usize = 2 * 1024 * 1024;
/// Earlier attempts that a result is compared with.
pub const MAX_HISTORY: u32 = 20;
