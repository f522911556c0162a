//! Outgoing webhooks: messages about runs in the format of Standard Webhooks
//! (github.com/standard-webhooks/standard-webhooks).
//!
//! Messages are committed together with their facts (`plue_store::webhook::event`); here they are signed and
//! sent until they are accepted. Reading order: [`sign`], [`message`], [`schedule`] (all pure), [`sender`],
//! [`admin`]. Must not send outputs of steps or texts of people, follow a redirect, or reach an address that
//! the guard refuses.

pub mod admin;
pub mod message;
pub mod schedule;
pub mod sender;
pub mod sign;

pub use admin::WebhookAdmin;
pub use sender::Sender;
