//! Literal graphs; random ones are in `arbitrary`'s tests.

use crate::{
    action::{Action, Bash},
    graph::{Ancestry, Graph},
    id::StepId,
    step::Step,
};

fn steps(list: &[(&str, &[&str])]) -> Vec<Step> {
    list.iter()
        .map(|(id, needs)| {
            let action = Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() });
            let mut step = Step::new(*id, action);
            step.depends_on = needs.iter().map(|id| StepId::new(*id)).collect();
            step
        })
        .collect()
}

fn ids(list: &[&str]) -> Vec<StepId> {
    list.iter().map(|id| StepId::new(*id)).collect()
}

const DIAMOND: &[(&str, &[&str])] =
    &[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"]), ("e", &["a", "d"])];

#[test]
fn levels_hold_what_may_run_together() {
    let steps = steps(DIAMOND);
    let graph = Graph::of(&steps);
    let expected = [ids(&["a"]), ids(&["b", "c"]), ids(&["d"]), ids(&["e"])];
    assert_eq!(graph.levels(), expected);
    assert_eq!(graph.topological(), Some(ids(&["a", "b", "c", "d", "e"])));
    assert_eq!(graph.cycle(), None);
}

#[test]
fn ancestors_are_transitive_and_exclude_the_step_itself() {
    let steps = steps(DIAMOND);
    let graph = Graph::of(&steps);
    assert_eq!(graph.ancestors(&"d".into()), ids(&["a", "b", "c"]));
    assert_eq!(graph.ancestors(&"a".into()), ids(&[]));
    let ancestry = Ancestry::of(&graph);
    for (below, step) in steps.iter().enumerate() {
        let known = graph.ancestors(&step.id);
        for (above, step) in steps.iter().enumerate() {
            let expected = known.contains(&step.id);
            assert_eq!(ancestry.is_above(above, below), expected);
        }
    }
}

#[test]
fn between_holds_exactly_the_steps_on_paths() {
    let steps = steps(DIAMOND);
    let graph = Graph::of(&steps);
    assert_eq!(graph.between(&"b".into(), &"d".into()), ids(&["b", "d"]));
    assert_eq!(graph.between(&"a".into(), &"d".into()), ids(&["a", "b", "c", "d"]));
    assert_eq!(graph.between(&"c".into(), &"c".into()), ids(&["c"]));
    assert_eq!(graph.between(&"d".into(), &"b".into()), ids(&[]));
    assert_eq!(graph.between(&"b".into(), &"c".into()), ids(&[]));
}

#[test]
fn cycles_are_found_behind_other_steps() {
    let list =
        steps(&[("z", &["b"]), ("a", &["c"]), ("b", &["a"]), ("c", &["b", "free"]), ("free", &[])]);
    let graph = Graph::of(&list);
    let cycle = graph.cycle().unwrap();
    assert_eq!(cycle.len(), 4);
    assert_eq!(cycle.first(), cycle.last());
    assert_eq!(graph.topological(), None);
    assert_eq!(graph.levels(), [ids(&["free"])]);
    let own = steps(&[("a", &["a"])]);
    assert_eq!(Graph::of(&own).cycle(), Some(ids(&["a", "a"])));
}

#[test]
fn a_long_chain_does_not_exhaust_the_stack() {
    let names: Vec<String> = (0..5_000).map(|n| format!("s{n}")).collect();
    let mut list = steps(&[("s0", &[])]);
    for pair in names.windows(2) {
        list.extend(steps(&[(&pair[1], &[pair[0].as_str()])]));
    }
    let graph = Graph::of(&list);
    assert_eq!(graph.levels().len(), 5_000);
    assert_eq!(graph.ancestors(&"s4999".into()).len(), 4_999);
    assert_eq!(graph.between(&"s0".into(), &"s4999".into()).len(), 5_000);
    assert!(Ancestry::of(&graph).is_above(0, 4_999));
    list[0].depends_on = ids(&["s4999"]);
    assert_eq!(Graph::of(&list).cycle().map(|path| path.len()), Some(5_001));
}
