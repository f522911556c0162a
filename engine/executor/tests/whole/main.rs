//! Whole runs in process: real store (SQLite), real runner processes, real time.
//!
//! Must not look into the engine: everything is read back from the store.

#![expect(clippy::unwrap_used, reason = "what the world cannot do fails the test that needs it")]

mod calls;
mod cancel;
mod children;
mod faults;
mod flow;
mod idle_runners;
mod masks;
mod resume;
mod sandbox;
mod scheduling;
mod scope;
mod turns;
mod waiting;
mod world;
