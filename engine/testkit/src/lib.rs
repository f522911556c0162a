//! Test support shared by several crates. Never shipped.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what the kit cannot do fails the test that needs it"
)]

pub mod faults;
#[cfg(feature = "kube")]
pub mod kube;
#[cfg(feature = "objects")]
pub mod objects;
pub mod postgres;
pub mod scripted;
