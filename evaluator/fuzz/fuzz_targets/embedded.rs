//! The evaluator inside the fuzzer: one interpreter, no fork, no jail.

use std::collections::BTreeMap;
use std::sync::Once;

use plue_evaluator::options::HashSeed;
use plue_evaluator::{interpreter, language};
use plue_wire::eval::{Bytes, EvalOutcome, EvalRequest, Facts};
use pyo3::Python;

static START: Once = Once::new();

/// Evaluates one file and checks what can be checked of any answer.
pub fn evaluate(source: &[u8]) -> EvalOutcome {
    START.call_once(|| {
        interpreter::start(HashSeed::A).expect("the interpreter starts");
        Python::attach(|py| {
            language::prepare(py).expect("the language layer loads");
            interpreter::lock(py, HashSeed::A).expect("the interpreter closes");
        });
    });
    let entry = ".plue/ci.plue.py".to_owned();
    let request = EvalRequest {
        id: 1,
        sources: BTreeMap::from([(entry.clone(), Bytes(source.to_vec()))]),
        entry,
        event_json: None,
        withholds_event: false,
        inputs_json: "{}".to_owned(),
        facts: Facts::default(),
        survey: false,
    };
    let (outcome, printed) = Python::attach(|py| language::evaluate(py, &request));
    assert!(printed.len() <= plue_wire::eval::MAX_PRINT_BYTES);
    check(&outcome);
    outcome
}

fn check(outcome: &EvalOutcome) {
    match outcome {
        EvalOutcome::Plans(plans) => {
            for plan in plans {
                let _: serde_json::Value = serde_json::from_str(&plan.plan_json).expect("JSON");
                let _: plue_plan::validate::SourceMap =
                    serde_json::from_str(&plan.places_json).expect("a source map");
            }
        }
        EvalOutcome::Needs(_) => {}
        EvalOutcome::Failed { diagnostics_json } => {
            let diagnostics: Vec<plue_plan::Diagnostic> =
                serde_json::from_str(diagnostics_json).expect("diagnostics");
            assert!(!diagnostics.is_empty());
        }
        EvalOutcome::Surveyed { .. } => panic!("nobody asked for a survey"),
        EvalOutcome::Killed(killed) => panic!("nobody was there to kill: {killed:?}"),
    }
}
