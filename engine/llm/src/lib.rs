//! Client of the Claude Messages API: requests, streamed answers, errors, prices.
//!
//! The wire format is that of <https://docs.claude.com/en/api/messages>, version
//! [`client::API_VERSION`]. Answers are foreign input: events, blocks and bodies are bounded here,
//! unknown events and block types pass through. [`agent`] decides, purely, how a conversation with tools
//! goes on. Must not run a tool, or show a key.
#![forbid(unsafe_code)]

pub mod agent;
pub mod answer;
pub mod assemble;
pub mod client;
pub mod codes;
pub mod error;
pub mod event;
pub mod format;
pub mod limits;
pub mod mcp;
pub mod price;
pub mod replay;
pub mod request;
pub mod retry;
pub mod sse;
pub mod tools;

pub use crate::{
    agent::Agent,
    answer::{Answer, Block, StopReason, Usage},
    assemble::{Assembler, Delta},
    client::{Client, ClientOptions, Credential, Stream},
    error::{ApiError, Error},
    price::{PicoUsd, PriceList},
    replay::Recording,
    request::{Message, Request, Role, Tool},
};
