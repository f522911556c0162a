//! Every scenario, once per effect and once per event, with that effect or event failed, doubled, late,
//! or with a death at that point. Real flow, driver, sessions and store; scripted runners; a clock that
//! jumps to whatever is next.
//!
//! Must not look into the engine: everything is read back from the store.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the world cannot do fails the test that needs it"
)]

mod cases;
mod rows;
mod scenarios;
mod sweep;
mod world;
