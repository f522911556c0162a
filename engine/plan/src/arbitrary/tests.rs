//! Properties of every plan: it validates, survives its own bytes, and has one hash.

use proptest::prelude::*;
use serde_json::{Map, Value as Json};

use super::plans;
use crate::{
    Plan, StepId,
    canonical::HashedPlan,
    graph::{Ancestry, Graph},
    validate::{SourceMap, validate},
};

/// The same JSON with the keys of all objects in reverse.
fn reversed(json: Json) -> Json {
    match json {
        Json::Array(items) => Json::Array(items.into_iter().map(reversed).collect()),
        Json::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.reverse();
            let entries = entries.into_iter().map(|(key, item)| (key, reversed(item)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
        other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_plans_are_valid(plan in plans(8)) {
        prop_assert_eq!(validate(&plan, &SourceMap::default()), []);
    }

    #[test]
    fn row_1_03_a_plan_survives_its_own_bytes(plan in plans(8)) {
        let hashed = HashedPlan::new(plan).unwrap();
        let read = Plan::from_json(&hashed.bytes).unwrap();
        prop_assert_eq!(&read, &hashed.plan);
        let again = HashedPlan::new(read).unwrap();
        prop_assert_eq!(again, hashed);
    }

    #[test]
    fn row_1_03_hashes_ignore_order_of_keys_and_dependencies(plan in plans(8)) {
        let hash = HashedPlan::new(plan.clone()).unwrap().hash;
        let mut shuffled = plan;
        for step in &mut shuffled.steps {
            step.depends_on.reverse();
        }
        let json = reversed(serde_json::to_value(&shuffled).unwrap());
        let read = Plan::from_json(json.to_string().as_bytes()).unwrap();
        prop_assert_eq!(HashedPlan::new(read).unwrap().hash, hash);
    }

    #[test]
    fn row_1_03_the_hash_follows_every_change_of_a_command(plan in plans(4), text in "[a-z]{1,8}") {
        let before = HashedPlan::new(plan.clone()).unwrap();
        let mut changed = plan;
        changed.steps[0].options.name = Some(crate::Value::text(text));
        let same = changed == before.plan;
        prop_assert_eq!(HashedPlan::new(changed).unwrap().hash == before.hash, same);
    }

    #[test]
    fn the_graph_agrees_with_itself(plan in plans(12)) {
        let graph = Graph::new(&plan);
        let order = graph.topological().expect("random plans have no cycle");
        let place = |id: &StepId| order.iter().position(|other| other == id).unwrap();
        let ancestry = Ancestry::of(&graph);
        for (at, step) in plan.steps.iter().enumerate() {
            let known = graph.ancestors(&step.id);
            for (other, above) in plan.steps.iter().enumerate() {
                let is_known = known.contains(&above.id);
                prop_assert_eq!(ancestry.is_above(other, at), is_known);
                let between = graph.between(&above.id, &step.id);
                prop_assert_eq!(!between.is_empty(), is_known || other == at);
                prop_assert!(between.iter().all(|id| place(id) <= place(&step.id)));
            }
            prop_assert!(step.depends_on.iter().all(|id| known.contains(id)));
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Plan::from_json(&bytes);
    }
}

#[test]
fn whole_floats_hash_like_integers() {
    let plan = |number: &str| {
        let json = format!(
            r#"{{"version":1,"name":"x","steps":[{{"id":"a","kind":"plugin","plugin":"p","config":{{"v":{number}}}}}]}}"#
        );
        HashedPlan::new(Plan::from_json(json.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(plan("1.0"), plan("1"));
    assert_eq!(plan("-0.0"), plan("0"));
    assert_ne!(plan("1.5").hash, plan("1").hash);
}
