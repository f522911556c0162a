//! Groups of steps that a matrix made: alike in kind, in the stem of their ids, and in the groups of the
//! steps before and behind them.
//!
//! Steps start in one group by kind, stem and level, and a group is split until all of its members have
//! neighbours in the same groups (colour refinement): so the rows of a matrix fold together, although
//! each depends on another step.

use std::collections::{BTreeMap, HashMap, HashSet};

use plue_plan::graph::Graph;

/// Members from which on a group is drawn as one node.
pub(super) const FOLD_FROM: usize = 5;
/// Rounds of refinement; groups that would still be split then are not folded.
const MAX_ROUNDS: usize = 32;

/// The groups of at least [`FOLD_FROM`] steps, as positions in the plan; steps of `single` stay alone.
pub(super) fn groups(graph: &Graph<'_>, single: &HashSet<usize>) -> Vec<Vec<usize>> {
    let depths = graph.depths();
    let mut names: HashMap<_, usize> = HashMap::new();
    let mut colours: Vec<usize> = Vec::with_capacity(graph.len());
    for (at, step) in graph.steps().iter().enumerate() {
        let alone = single.contains(&at).then_some(at);
        let key = (step.action.kind(), stem(step.id.as_str()), depths.get(at), alone);
        let next = names.len();
        colours.push(*names.entry(key).or_insert(next));
    }
    let mut count = names.len();
    for _ in 0..MAX_ROUNDS {
        let (refined, now) = refined(graph, &colours);
        colours = refined;
        if now == count {
            return collected(&colours);
        }
        count = now;
    }
    Vec::new()
}

/// The colours split by those of the neighbours, and their number.
fn refined(graph: &Graph<'_>, colours: &[usize]) -> (Vec<usize>, usize) {
    let around = |neighbours: &[usize]| {
        let mut found: Vec<usize> =
            neighbours.iter().filter_map(|&at| colours.get(at).copied()).collect();
        found.sort_unstable();
        found
    };
    let mut names = HashMap::new();
    let refined = colours.iter().enumerate().map(|(at, &own)| {
        let key = (own, around(graph.dependencies(at)), around(graph.dependents(at)));
        let next = names.len();
        *names.entry(key).or_insert(next)
    });
    let refined: Vec<usize> = refined.collect();
    let count = names.len();
    (refined, count)
}

fn collected(colours: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, colour) in colours.iter().enumerate() {
        groups.entry(*colour).or_default().push(at);
    }
    groups.into_values().filter(|members| members.len() >= FOLD_FROM).collect()
}

/// The part of an id before its first separator or digit: `test` of `test-3.11-linux`.
pub(super) fn stem(id: &str) -> &str {
    let end = id.find(|c: char| matches!(c, '-' | '_' | '.') || c.is_ascii_digit());
    end.and_then(|end| id.get(..end)).filter(|stem| !stem.is_empty()).unwrap_or(id)
}
