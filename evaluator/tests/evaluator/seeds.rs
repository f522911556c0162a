//! A plan that depends on the order of a set differs between interpreters; more interpreters detect
//! it more surely.

use plue_wire::eval::EvalOutcome;

use crate::harness::Evaluator;

const TWO: &str = "def workflow():\n    return Plan(max({'one', 'two'}, key=len), steps=[])\n";

#[test]
fn a_choice_between_two_differs_among_a_handful_of_seeds() {
    let outcome = |seed: &str| Evaluator::start(&["--hash-seed", seed]).evaluate(TWO).outcome;
    let first = outcome("A");
    assert!(matches!(first, EvalOutcome::Plans(_)), "{first:?}");
    let others = ["B", "1", "2", "3", "4", "5", "6"];
    assert!(others.iter().any(|seed| outcome(seed) != first));
}

#[test]
fn the_same_seed_gives_the_same_plan_in_another_process() {
    let outcome = || Evaluator::start(&["--hash-seed", "77"]).evaluate(TWO).outcome;
    assert_eq!(outcome(), outcome());
}
