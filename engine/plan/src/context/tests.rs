//! Writers that readers of keys see, in the order of the reducer. Must not merge values.

use super::*;

fn plan(merge: &str, steps: &str) -> Plan {
    let text = format!(
        r#"{{"version":1,"name":"x","context":{{"k":{{"merge":"{merge}"}}}},"steps":[{steps}],
            "hooks":{{"on_start":[{{"id":"begin","kind":"bash","run":"x"}}],
                      "on_complete":[{{"id":"end","kind":"bash","run":"x"}}]}}}}"#
    );
    Plan::from_json(text.as_bytes()).unwrap()
}

fn step(id: &str, after: &[&str], writes: bool) -> String {
    let writes = if writes { r#","writes":"k""# } else { "" };
    format!(
        r#"{{"id":"{id}","kind":"bash","run":"x","depends_on":{}{writes}}}"#,
        serde_json::to_string(after).unwrap()
    )
}

fn writers(plan: &Plan, reader: Reader<'_>) -> String {
    let keys = visible(plan, reader);
    let ids = keys.get("k").into_iter().flat_map(|key| &key.writers);
    ids.map(|id| id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn row_4_04_readers_see_the_writers_before_them() {
    let steps = [
        step("late", &["first"], true),
        step("first", &[], true),
        step("reader", &["late"], false),
        step("after", &["reader"], true),
        step("alone", &[], false),
    ];
    let steps = steps.join(",");
    let table = [
        ("reader", "late first", "first late"),
        ("late", "first", "first"),
        ("first", "", ""),
        ("alone", "", ""),
        ("after", "late first", "first late"),
        ("begin", "", ""),
        ("end", "late first after", "first late after"),
    ];
    for (reader, in_plan_order, last_behind) in table {
        let id = StepId::new(reader);
        for merge in ["list", "map"] {
            let plan = plan(merge, &steps);
            assert_eq!(writers(&plan, Reader::Step(&id)), in_plan_order, "{reader} {merge}");
        }
        for merge in ["last", "error"] {
            let plan = plan(merge, &steps);
            assert_eq!(writers(&plan, Reader::Step(&id)), last_behind, "{reader} {merge}");
        }
    }
    let plan = plan("list", &steps);
    assert_eq!(writers(&plan, Reader::After), "late first after");
    assert_eq!(writers(&plan, Reader::Before), "");
}

#[test]
fn row_4_04_undeclared_keys_are_seen_by_no_reader() {
    let mut plan = plan("list", &step("a", &[], true));
    plan.context.clear();
    assert!(visible(&plan, Reader::After).is_empty());
}
