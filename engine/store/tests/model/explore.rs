//! Breadth first through all states: the shortest way to a fault, and whether every state leads to an end.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// What can be explored.
pub(crate) trait Model {
    type State: Clone + Eq + Hash;
    fn start(&self) -> Self::State;
    /// Everything that can happen next.
    fn next(&self, state: &Self::State) -> Vec<(String, Self::State)>;
    /// What must never be, if it is.
    fn fault(&self, state: &Self::State) -> Option<String>;
    /// Whether nothing more has to happen.
    fn is_over(&self, state: &Self::State) -> bool;
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// No fault in so many states.
    Sound(usize),
    /// A fault, and the shortest way there.
    Fault { what: String, way: Vec<String> },
}

/// The states seen, numbered; how each was reached first, and from where each can be reached.
struct Seen<S> {
    numbers: HashMap<S, usize>,
    reached: Vec<Option<(usize, String)>>,
    before: Vec<Vec<usize>>,
    ends: VecDeque<usize>,
}

// === impl Seen ===

impl<S: Clone + Eq + Hash> Seen<S> {
    fn way(&self, mut at: usize) -> Vec<String> {
        let mut way = Vec::new();
        while let Some((from, label)) = &self.reached[at] {
            way.push(label.clone());
            at = *from;
        }
        way.reverse();
        way
    }

    /// The number of a state, and whether it is new.
    fn number(&mut self, state: &S, reached: Option<(usize, String)>) -> (usize, bool) {
        if let Some(number) = self.numbers.get(state) {
            return (*number, false);
        }
        let number = self.reached.len();
        self.numbers.insert(state.clone(), number);
        self.reached.push(reached);
        self.before.push(Vec::new());
        (number, true)
    }

    /// A state from which no end can be reached.
    fn stuck(mut self) -> Option<usize> {
        let mut leads = vec![false; self.reached.len()];
        while let Some(at) = self.ends.pop_front() {
            if !std::mem::replace(&mut leads[at], true) {
                self.ends.extend(std::mem::take(&mut self.before[at]));
            }
        }
        leads.iter().position(|leads| !leads)
    }
}

/// Explores everything.
pub(crate) fn explore<M: Model>(model: &M) -> Found {
    let mut seen = Seen {
        numbers: HashMap::new(),
        reached: Vec::new(),
        before: Vec::new(),
        ends: VecDeque::new(),
    };
    let start = model.start();
    seen.number(&start, None);
    let mut todo = VecDeque::from([(0, start)]);
    while let Some((at, state)) = todo.pop_front() {
        if let Some(what) = model.fault(&state) {
            return Found::Fault { what, way: seen.way(at) };
        }
        if model.is_over(&state) {
            seen.ends.push_back(at);
        }
        for (label, next) in model.next(&state) {
            let (number, is_new) = seen.number(&next, Some((at, label)));
            seen.before[number].push(at);
            if is_new {
                todo.push_back((number, next));
            }
        }
    }
    let states = seen.reached.len();
    let ways: Vec<_> = seen.reached.clone();
    match seen.stuck() {
        None => Found::Sound(states),
        Some(mut at) => {
            let mut way = Vec::new();
            while let Some((from, label)) = &ways[at] {
                way.push(label.clone());
                at = *from;
            }
            way.reverse();
            Found::Fault { what: "from here the run never ends".to_owned(), way }
        }
    }
}
