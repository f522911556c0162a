//! Reducers and reads of keys, over literal scopes. Must not run a plan.

use plue_plan::context::{VisibleKey, VisibleKeys};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Expression, Reads, StepValues};

/// Outputs of writers: an id, a status and a value each.
type Outputs = Vec<(StepId, &'static str, Json)>;

fn outputs() -> Outputs {
    [
        ("b", "success", json!({"n": 2})),
        ("a-x", "success", json!("one")),
        ("c", "failed", json!(3)),
        ("d", "skipped", Json::Null),
    ]
    .map(|(id, status, output)| (StepId::new(id), status, output))
    .to_vec()
}

/// The value of an expression over the key `k`; the steps are added to the scope in the order `ended`.
fn eval(outputs: &Outputs, merge: Merge, ended: &[usize], source: &str) -> Result<Json, String> {
    let writers = outputs.iter().map(|(id, ..)| id).collect();
    let keys = VisibleKeys::from([("k", VisibleKey { merge, writers })]);
    let mut scope = Scope::new().context(&keys);
    for at in ended {
        let (id, status, output) = &outputs[*at];
        let values = StepValues { status, output, error: None, visit: 1, attempts: 1 };
        scope.add_step(id.as_str(), values);
    }
    let expression = Expression::parse(source).map_err(|error| error.to_string())?;
    let value = expression.evaluate(&scope, &mut Reads::default());
    value.map_err(|error| error.to_string())
}

#[test]
fn row_4_05_reducers_combine_successful_writers() {
    let outputs = outputs();
    let all = [0, 1, 2, 3];
    let table = [
        (Merge::List, "context.k", json!([{"n": 2}, "one"])),
        (Merge::Map, "context.k", json!({"b": {"n": 2}, "a-x": "one"})),
        (Merge::Last, "context.k", json!("one")),
        (Merge::Error, "context['k']", json!("one")),
        (Merge::List, "context.k[0].n + size(context.k)", json!(4)),
        (Merge::Map, "context.k['a-x'].endsWith('ne')", json!(true)),
        (Merge::Last, "has(context.k)", json!(true)),
    ];
    for (merge, source, expected) in table {
        assert_eq!(eval(&outputs, merge, &all, source), Ok(expected), "{merge:?} {source}");
    }
}

#[test]
fn row_4_05_keys_without_writers_are_empty_or_absent() {
    let outputs = outputs();
    let ended = [2, 3];
    assert_eq!(eval(&outputs, Merge::List, &ended, "context.k"), Ok(json!([])));
    assert_eq!(eval(&outputs, Merge::Map, &ended, "context.k"), Ok(json!({})));
    for merge in [Merge::Last, Merge::Error] {
        assert_eq!(eval(&outputs, merge, &ended, "has(context.k)"), Ok(json!(false)));
        let default = eval(&outputs, merge, &ended, "default(context.k, 'none')");
        assert_eq!(default, Ok(json!("none")));
        let error = eval(&outputs, merge, &ended, "context.k").unwrap_err();
        assert!(error.contains("context.k") && error.contains("b, a-x, c, d"), "{error}");
    }
    let error = eval(&outputs, Merge::List, &ended, "context.other").unwrap_err();
    assert!(error.contains("no step writes it before"), "{error}");
}

#[test]
fn row_4_04_keys_are_named_by_constants() {
    let outputs = outputs();
    for source in ["context", "context[inputs.x]", "size(context)"] {
        let error = eval(&outputs, Merge::List, &[], source).unwrap_err();
        assert!(error.contains("named by a constant"), "{source}: {error}");
    }
    // Plans without keys may have a variable of that name.
    let bound = eval(&outputs, Merge::List, &[], "[{'id': 1}].map(context, context.id)");
    assert_eq!(bound, Ok(json!([1])));
    let parsed = Expression::parse("[1].map(context, context + 1)").unwrap();
    assert_eq!(parsed.references(), []);
}

#[test]
fn row_4_04_reads_of_keys_are_recorded_by_their_names() {
    let id = StepId::new("a");
    let output = json!({"risk": 3});
    let keys =
        VisibleKeys::from([("plan", VisibleKey { merge: Merge::Error, writers: vec![&id] })]);
    let values =
        StepValues { status: "success", output: &output, error: None, visit: 1, attempts: 1 };
    let scope = Scope::new().context(&keys).step("a", values);
    let mut reads = Reads::default();
    let expression = Expression::parse("context.plan.risk > 2").unwrap();
    assert!(expression.truth(&scope, &mut reads).unwrap());
    assert_eq!(reads.values[0].path, "context.plan.risk");
}

#[test]
fn merged_values_are_paid_for() {
    let large = Json::String("x".repeat(1 << 20));
    let outputs: Outputs =
        (0..40).map(|n| (StepId::new(format!("s{n}")), "success", large.clone())).collect();
    let all: Vec<usize> = (0..40).collect();
    let error = eval(&outputs, Merge::List, &all, "size(context.k)").unwrap_err();
    assert!(error.contains("more work than is allowed"), "{error}");
}

proptest! {
    #[test]
    fn row_4_05_reducers_ignore_the_order_in_which_writers_end(
        numbers in prop::collection::vec((any::<i32>(), any::<bool>()), 1..12),
        seed in any::<prop::sample::Index>(),
    ) {
        let outputs: Outputs = numbers
            .iter()
            .enumerate()
            .map(|(at, (number, good))| {
                (StepId::new(format!("w{at}")), if *good { "success" } else { "failed" }, json!(number))
            })
            .collect();
        let in_order: Vec<usize> = (0..outputs.len()).collect();
        let mut shuffled = in_order.clone();
        shuffled.rotate_left(seed.index(outputs.len()));
        shuffled.reverse();
        for merge in [Merge::List, Merge::Map, Merge::Last, Merge::Error] {
            let one = eval(&outputs, merge, &in_order, "context.k");
            prop_assert_eq!(one, eval(&outputs, merge, &shuffled, "context.k"));
        }
    }
}
