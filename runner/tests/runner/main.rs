//! The real binary against an engine that the test plays, over a real socket. Tests that show a
//! failure case of the protocol carry its number.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the played engine looks for some messages and takes all others alike"
)]

#[cfg(test)]
mod agents;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod python;
#[cfg(test)]
mod services;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod streams;
