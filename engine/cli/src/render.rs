//! Output for terminals. Must not decide or read anything.

pub mod diagnostic;
pub mod live;
pub mod narrator;
pub mod stopping;
pub mod table;
pub mod transcript;
pub mod words;
