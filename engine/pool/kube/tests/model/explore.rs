//! Breadth-first search: the shortest way to a fault, and states from which no end can be reached.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// A system of states and transitions.
pub(crate) trait Model {
    type State: Clone + Eq + Hash;
    fn start(&self) -> Self::State;
    /// All transitions of a state, with labels.
    fn next(&self, state: &Self::State) -> Vec<(String, Self::State)>;
    /// The property that a state breaks.
    fn fault(&self, state: &Self::State) -> Option<String>;
    /// The state is one that the system must be able to reach at any time.
    fn is_settled(&self, state: &Self::State) -> bool;
}

#[derive(Debug)]
pub(crate) enum Explored {
    /// Number of states without a fault.
    Sound(usize),
    /// A broken property with the shortest way there.
    Fault { property: String, way: Vec<String> },
}

struct Node {
    reached: Option<(usize, String)>,
    before: Vec<usize>,
}

pub(crate) fn explore<M: Model>(model: &M) -> Explored {
    let start = model.start();
    let mut numbers = HashMap::from([(start.clone(), 0)]);
    let mut nodes = vec![Node { reached: None, before: Vec::new() }];
    let mut settled = VecDeque::new();
    let mut todo = VecDeque::from([(0, start)]);
    while let Some((at, state)) = todo.pop_front() {
        if let Some(property) = model.fault(&state) {
            return Explored::Fault { property, way: way(&nodes, at) };
        }
        if model.is_settled(&state) {
            settled.push_back(at);
        }
        for (label, next) in model.next(&state) {
            let number = *numbers.entry(next.clone()).or_insert(nodes.len());
            if number == nodes.len() {
                nodes.push(Node { reached: Some((at, label)), before: Vec::new() });
                todo.push_back((number, next));
            }
            nodes[number].before.push(at);
        }
    }
    let mut leads = vec![false; nodes.len()];
    while let Some(at) = settled.pop_front() {
        if !std::mem::replace(&mut leads[at], true) {
            settled.extend(std::mem::take(&mut nodes[at].before));
        }
    }
    match leads.iter().position(|leads| !leads) {
        None => Explored::Sound(nodes.len()),
        Some(at) => {
            let property = "the pool never settles from here".to_owned();
            Explored::Fault { property, way: way(&nodes, at) }
        }
    }
}

fn way(nodes: &[Node], mut at: usize) -> Vec<String> {
    let mut labels = Vec::new();
    while let Some((from, label)) = &nodes[at].reached {
        labels.push(label.clone());
        at = *from;
    }
    labels.reverse();
    labels
}
