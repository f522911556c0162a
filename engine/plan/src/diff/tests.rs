//! Diffs of literal and of random plans.

use proptest::prelude::*;

use super::*;
use crate::arbitrary::plans;

fn plan(json: &str) -> Plan {
    Plan::from_json(json.as_bytes()).unwrap()
}

fn before() -> Plan {
    plan(
        r#"{"version":1,"name":"CI","budget":{"usd":2},"timeout":"1h","tags":["a"],
        "env":{"A":"1"},"inputs":{"v":{"type":"integer"}},
        "triggers":[{"on":"push","branches":["main"]},{"on":"pull_request"}],
        "steps":[
          {"id":"test","kind":"bash","run":"npm test","secrets":["NPM_TOKEN"]},
          {"id":"lint","kind":"bash","run":"npm run lint"},
          {"id":"build","kind":"bash","run":"npm run build","depends_on":["lint","test"]}]}"#,
    )
}

fn after() -> Plan {
    plan(
        r#"{"version":1,"name":"CI","budget":{"usd":5},"timeout":"2h","image":"node:24",
        "description":"A long description that does not fit into the one line of the summary",
        "env":{"A":"2","B":{"$expr":"event.sha"}},
        "triggers":[{"on":"pull_request"},{"on":"push","branches":["main","next"]}],
        "hooks":{"on_complete":[{"id":"tell","kind":"bash","run":"./tell"}]},
        "steps":[
          {"id":"build","kind":"bash","run":"npm run build","depends_on":["test"]},
          {"id":"test","kind":"bash","run":"npm test -- --ci\u001b[31m","retry":{}},
          {"id":"review","kind":"llm","prompt":"p","depends_on":["test"]},
          {"id":"deploy","kind":"bash","run":"./deploy","depends_on":["review"]}]}"#,
    )
}

#[test]
fn the_summary_fits_on_a_line() {
    let diff = diff(&before(), &after());
    insta::assert_snapshot!(diff.summary(), @"+2 steps, −1 step, ~2 steps, +1 hook, +1 trigger, −1 trigger, −1 secret, −1 input, +1 variable, ~1 variable, −1 tag, steps reordered, budget $2 → $5, description changed, image none → node:24, timeout 1h → 2h");
}

#[test]
fn the_text_names_every_change() {
    let diff = diff(&before(), &after());
    insta::assert_snapshot!(diff.render(), @r#"
    ~ step build
        depends_on: ["lint","test"] → ["test"]
    + step deploy (bash)
    − step lint (bash)
    + step review (llm)
    ~ step test
        retry: (not set) → {}
        run: "npm test" → "npm test -- --ci\u001b[31m"
        secrets: ["NPM_TOKEN"] → (not set)
    + hook on_complete.tell (bash)
    ~ order of the steps
    − trigger {"on":"push","branches":["main"]}
    + trigger {"on":"push","branches":["main","next"]}
    − secret NPM_TOKEN
    − input v: {"type":"integer"}
    ~ variable A: "1" → "2"
    + variable B: {"$expr":"event.sha"}
    − tag a
    ~ budget $2 → $5
    + description none → A long description that does not fit into the one line of the summary
    + image none → node:24
    ~ timeout 1h → 2h
    "#);
}

#[test]
fn the_order_of_dependencies_is_no_change() {
    let mut other = before();
    other.steps[2].depends_on.reverse();
    let diff = diff(&before(), &other);
    assert!(diff.is_empty(), "{diff:?}");
    assert_eq!(diff.summary(), "no changes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn diffs_are_empty_exactly_for_equal_hashes(a in plans(3), b in plans(3)) {
        use crate::canonical::HashedPlan;
        let same = |a: &Plan, b: &Plan| {
            let hash = |plan: &Plan| HashedPlan::new(plan.clone()).unwrap().hash;
            hash(a) == hash(b)
        };
        prop_assert!(diff(&a, &a).is_empty());
        prop_assert_eq!(diff(&a, &b).is_empty(), same(&a, &b));
    }

    #[test]
    fn a_diff_turned_round_swaps_added_and_removed(a in plans(3), b in plans(3)) {
        let count = |diff: &PlanDiff, kind| diff.changes.iter().filter(|c| c.change == kind).count();
        let (there, back) = (diff(&a, &b), diff(&b, &a));
        let added = count(&there, ChangeKind::Added);
        prop_assert_eq!(added, count(&back, ChangeKind::Removed));
        let changed = count(&there, ChangeKind::Changed);
        prop_assert_eq!(changed, count(&back, ChangeKind::Changed));
        let json = serde_json::to_string(&there).unwrap();
        let read: PlanDiff = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.changes.len(), there.changes.len());
    }
}
