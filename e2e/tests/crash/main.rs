//! Crash safety: the real programs, killed where it hurts, and what is found afterwards.
//!
//! Tests that close a failure case of the runner protocol carry its number. Nothing here waits for a
//! time but where the instant of a kill is drawn by lot.

#[cfg(test)]
mod agents;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod claude;
#[cfg(test)]
mod database;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod halfway;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod machines;
#[cfg(test)]
mod offloading;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod points;
#[cfg(test)]
mod secrets;
