//! Any bytes as a plan: what parses can be validated, and sealed to a fixed point if it is valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plue_plan::{
    Plan, HashedPlan, Severity,
    validate::{SourceMap, validate_with},
};
use plue_spec::Cel;

fuzz_target!(|bytes: &[u8]| {
    let Ok(plan) = Plan::from_json(bytes) else { return };
    let problems = validate_with(&plan, &SourceMap::default(), &Cel);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return;
    }
    let sealed = HashedPlan::new(plan).expect("a valid plan has a hash");
    let again = Plan::from_json(&sealed.bytes).expect("canonical bytes are a plan");
    assert_eq!(HashedPlan::new(again).expect("a valid plan has a hash").hash, sealed.hash);
    let again = Plan::from_json(&sealed.bytes).expect("canonical bytes are a plan");
    assert!(validate_with(&again, &SourceMap::default(), &Cel).iter().all(|problem| {
        problem.severity == Severity::Warning
    }));
});
