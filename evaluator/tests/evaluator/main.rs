//! The real evaluator, driven over a socket pair as the engine does.
//!
//! `escape` needs files to be run without the language layer:
//! `cargo nextest run -p plue-evaluator --features raw-language`.

mod container;
mod endurance;
#[cfg(feature = "raw-language")]
mod escape;
mod harness;
mod layers;
mod seeds;
#[cfg(feature = "static-python")]
mod self_contained;
mod syscalls;
mod traced;
mod zygote;
