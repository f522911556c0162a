//! The examples, as a person tries them: copied, committed, planned and run by the real `plue`.
//!
//! Each folder's `expected/` holds its plan byte for byte and how its run ended. After an intended
//! change, `cargo run -p plue-cli --example bless_examples` rewrites them. The tests use no
//! network.

#[cfg(test)]
mod agents;
#[cfg(test)]
mod compared;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod setups;
