//! The same source and the same context are the same hash, wherever and for whomever.

use crate::{programs::plue, settings::Places};

/// Each plan is two evaluations, with different hash seeds.
const PLANS: usize = 100;

/// A fifth of the thousand evaluations; all of them, with both build profiles, are `cargo run -p
/// plue-cli --example thousand_hashes`.
#[test]
fn row_1_35_two_hundred_evaluations_give_the_expected_hashes() {
    let places = Places::new();
    let plue = places.programs(plue(), 0);
    let wrong: Vec<String> =
        (0..PLANS).filter_map(|number| places.plan(&plue, number).err()).collect();
    assert!(wrong.is_empty(), "{} of {PLANS}: {}", wrong.len(), wrong[0]);
}
