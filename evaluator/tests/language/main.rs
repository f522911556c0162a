//! The language half against the real interpreter: every file of the corpora, and single rules.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

mod context;
mod corpus;
mod harness;
mod iteration;
mod messages;
mod words;
