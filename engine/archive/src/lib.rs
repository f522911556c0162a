//! Files that hold what plue stores: one exported run ([`export`]) or a whole state ([`backup`]).
//!
//! Must not print, read configuration or know a command line.
#![forbid(unsafe_code)]

pub mod backup;
pub mod export;
