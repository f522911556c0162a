//! Others are told what happens to runs, by messages of Standard Webhooks
//! (github.com/standard-webhooks/standard-webhooks).
//!
//! What is to be told was committed together with the facts (`plue_store::webhook::event`); here it is
//! signed and sent until somebody has it. Reading order: [`sign`], [`message`], [`schedule`] (all pure),
//! [`sender`], [`desk`]. Must not send what a step has put out or somebody has written, follow a
//! redirect, or reach what the guard refuses.

pub mod desk;
pub mod message;
pub mod schedule;
pub mod sender;
pub mod sign;

pub use desk::Desk;
pub use sender::Sender;
