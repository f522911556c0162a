//! Any bytes a child may send: the zygote must take them without panicking, and what it passes on
//! must decode in the engine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plue_evaluator::report::Report;
use plue_wire::eval::EvalOutcome;

fuzz_target!(|bytes: &[u8]| {
    if let Report::Outcome(rest) = Report::parse(bytes) {
        let decoded: (EvalOutcome, String) =
            plue_wire::frame::decode(rest).expect("what passed the zygote decodes in the engine");
        assert!(!matches!(decoded.0, EvalOutcome::Killed(_)));
    }
});
