//! Messages between the engine and the processes it does not trust: evaluators and runners.
//!
//! Only data and its encoding. This crate must not open sockets, spawn, await or trust the peer:
//! every decoder has a cap, and a malformed frame is an error value, never a panic.
#![forbid(unsafe_code)]

pub mod bounded;
pub mod environment;
pub mod eval;
pub mod frame;
pub mod mcp;
pub mod outputs;
pub mod runner;

pub use frame::{FrameError, Splitter, decode, encode};
