//! Any bytes as a workflow file: reading ends, names places inside the file, and a plan that comes of
//! it is the same plan when it is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plue_plan::HashedPlan;
use plue_spec::workflow::{Format, MAX_PROBLEMS, read};

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 2;
    for format in [Format::Yaml, Format::Json] {
        match read("x", bytes, format) {
            Ok(workflow) => {
                let sealed = HashedPlan::new(workflow.plan).expect("a valid plan has a hash");
                let again = read("x", &sealed.bytes, Format::Json).expect("a plan can be read");
                let again = HashedPlan::new(again.plan).expect("a valid plan has a hash");
                assert_eq!(again.hash, sealed.hash);
            }
            Err(problems) => {
                assert!(!problems.is_empty() && problems.len() <= MAX_PROBLEMS + 1);
                for span in problems.iter().filter_map(|problem| problem.span.as_ref()) {
                    // A carriage return alone ends a line too.
                    let lines = lines + bytes.iter().filter(|byte| **byte == b'\r').count();
                    assert!(span.line >= 1 && span.line as usize <= lines, "{span}");
                }
            }
        }
    }
});
