//! The plan's steps as positions: dependencies, dependents and phases.
//!
//! Built once per run from the plan; immutable. Each list of hooks is a graph of its own, as in
//! plue-plan.

use std::{collections::HashMap, ops::Range};

use plue_plan::{Plan, Step, StepId};

/// The parts of a run, in order. A phase begins when every step of the one before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Before the run starts.
    Idle,
    /// The hooks `on_start`.
    Start,
    /// Steps of the plan.
    Steps,
    /// Hooks `on_success` or `on_failure`.
    Outcome,
    /// The hooks `on_complete`.
    Complete,
    /// Nothing is left to do.
    Over,
}

/// The lists of steps of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Start,
    Steps,
    Success,
    Failure,
    Complete,
}

/// Positions: the plan's steps first, then the hooks in the order of their phases.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    index: HashMap<StepId, usize>,
    nodes: Vec<Node>,
    ranges: [Range<usize>; 5],
}

#[derive(Debug, PartialEq)]
struct Node {
    group: Group,
    dependencies: Vec<usize>,
    dependents: Vec<usize>,
}

// === impl Shape ===

impl Shape {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut shape = Self {
            index: HashMap::new(),
            nodes: Vec::new(),
            ranges: [0..0, 0..0, 0..0, 0..0, 0..0],
        };
        for group in [Group::Steps, Group::Start, Group::Success, Group::Failure, Group::Complete] {
            shape.add(group, group.of(plan));
        }
        shape
    }

    fn add(&mut self, group: Group, steps: &[Step]) {
        let begin = self.nodes.len();
        for (at, step) in (begin..).zip(steps) {
            self.index.entry(step.id.clone()).or_insert(at);
        }
        for step in steps {
            let known = step.depends_on.iter();
            let mut dependencies: Vec<usize> = known
                .filter_map(|id| self.index.get(id).copied())
                .filter(|at| *at >= begin)
                .collect();
            dependencies.sort_unstable();
            dependencies.dedup();
            self.nodes.push(Node { group, dependencies, dependents: Vec::new() });
        }
        for at in begin..self.nodes.len() {
            for above in self.nodes[at].dependencies.clone() {
                self.nodes[above].dependents.push(at);
            }
        }
        self.ranges[group.slot()] = begin..self.nodes.len();
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn find(&self, id: &StepId) -> Option<usize> {
        self.find_name(id.as_str())
    }

    pub(crate) fn find_name(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    pub(crate) fn range(&self, group: Group) -> Range<usize> {
        self.ranges[group.slot()].clone()
    }

    pub(crate) fn group(&self, at: usize) -> Group {
        self.nodes[at].group
    }

    pub(crate) fn phase(&self, at: usize) -> Phase {
        self.group(at).phase()
    }

    pub(crate) fn dependencies(&self, at: usize) -> &[usize] {
        &self.nodes[at].dependencies
    }

    pub(crate) fn dependents(&self, at: usize) -> &[usize] {
        &self.nodes[at].dependents
    }

    /// The step at a position.
    pub(crate) fn step<'p>(&self, plan: &'p Plan, at: usize) -> &'p Step {
        let group = self.group(at);
        &group.of(plan)[at - self.ranges[group.slot()].start]
    }

    /// The given steps and all behind them, ascending.
    pub(crate) fn descendants(&self, roots: impl IntoIterator<Item = usize>) -> Vec<usize> {
        self.marked(&self.flood(roots, |node| &node.dependents))
    }

    /// Every step on a path from `target` to `firing`, both included, ascending; empty if there is
    /// none.
    pub(crate) fn between(&self, target: usize, firing: usize) -> Vec<usize> {
        let below = self.flood([target], |node| &node.dependents);
        let mut above = self.flood([firing], |node| &node.dependencies);
        for (mark, other) in above.iter_mut().zip(below) {
            *mark &= other;
        }
        self.marked(&above)
    }

    fn flood<'s>(
        &'s self,
        roots: impl IntoIterator<Item = usize>,
        next: impl Fn(&'s Node) -> &'s [usize],
    ) -> Vec<bool> {
        let mut seen = vec![false; self.len()];
        let mut open: Vec<usize> = roots.into_iter().collect();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                open.extend_from_slice(next(&self.nodes[at]));
            }
        }
        seen
    }

    fn marked(&self, marks: &[bool]) -> Vec<usize> {
        (0..self.len()).filter(|&at| marks[at]).collect()
    }
}

// === impl Group ===

impl Group {
    fn of(self, plan: &Plan) -> &[Step] {
        match self {
            Self::Start => &plan.hooks.on_start,
            Self::Steps => &plan.steps,
            Self::Success => &plan.hooks.on_success,
            Self::Failure => &plan.hooks.on_failure,
            Self::Complete => &plan.hooks.on_complete,
        }
    }

    fn slot(self) -> usize {
        match self {
            Self::Start => 0,
            Self::Steps => 1,
            Self::Success => 2,
            Self::Failure => 3,
            Self::Complete => 4,
        }
    }

    fn phase(self) -> Phase {
        match self {
            Self::Start => Phase::Start,
            Self::Steps => Phase::Steps,
            Self::Success | Self::Failure => Phase::Outcome,
            Self::Complete => Phase::Complete,
        }
    }
}

// === impl Phase ===

impl Phase {
    pub(crate) fn following(self) -> Self {
        match self {
            Self::Idle => Self::Start,
            Self::Start => Self::Steps,
            Self::Steps => Self::Outcome,
            Self::Outcome => Self::Complete,
            Self::Complete | Self::Over => Self::Over,
        }
    }

    pub(crate) fn groups(self) -> &'static [Group] {
        match self {
            Self::Start => &[Group::Start],
            Self::Steps => &[Group::Steps],
            Self::Outcome => &[Group::Success, Group::Failure],
            Self::Complete => &[Group::Complete],
            Self::Idle | Self::Over => &[],
        }
    }

    /// The place of the phase in the counters of open steps.
    pub(crate) fn slot(self) -> Option<usize> {
        match self {
            Self::Start => Some(0),
            Self::Steps => Some(1),
            Self::Outcome => Some(2),
            Self::Complete => Some(3),
            Self::Idle | Self::Over => None,
        }
    }
}
