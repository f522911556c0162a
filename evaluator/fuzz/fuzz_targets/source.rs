//! Any bytes as a workflow file: source checks, parser, policy, and whatever then runs.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "embedded.rs"]
mod embedded;

fuzz_target!(|source: &[u8]| {
    embedded::evaluate(source);
});
