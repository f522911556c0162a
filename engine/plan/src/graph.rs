//! The dependencies of a list of steps as a graph of indices, built once and queried many times.
//!
//! Every query takes time linear in steps and edges, without recursion: a chain of 5,000 steps must
//! not exhaust the stack. Must not report problems: that is `validate`'s. Unknown dependencies are
//! left out, a duplicate id stands for its first step.

use std::collections::HashMap;

use crate::{id::StepId, plan::Plan, step::Step};

mod ancestry;

pub use ancestry::Ancestry;

/// A directed graph whose nodes are the positions of steps in their list.
#[derive(Debug, Clone)]
pub struct Graph<'a> {
    steps: &'a [Step],
    index: HashMap<&'a str, usize>,
    dependencies: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
}

// === impl Graph ===

impl<'a> Graph<'a> {
    /// The graph of the plan's own steps; each list of hooks is a graph of its own.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Self::of(&plan.steps)
    }

    /// The graph of one list of steps. Duplicate edges are dropped, a self-dependency is kept.
    #[must_use]
    pub fn of(steps: &'a [Step]) -> Self {
        let mut index = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            index.entry(step.id.as_str()).or_insert(at);
        }
        let mut dependents = vec![Vec::new(); steps.len()];
        let dependencies: Vec<Vec<usize>> = steps
            .iter()
            .map(|step| {
                let known = step.depends_on.iter();
                let mut known: Vec<usize> =
                    known.filter_map(|id| index.get(id.as_str()).copied()).collect();
                known.sort_unstable();
                known.dedup();
                known
            })
            .collect();
        for (at, known) in dependencies.iter().enumerate() {
            for &dependency in known {
                if let Some(list) = dependents.get_mut(dependency) {
                    list.push(at);
                }
            }
        }
        Self { steps, index, dependencies, dependents }
    }

    /// The number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// True if there is no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps, in the order given; indices count in it.
    #[must_use]
    pub fn steps(&self) -> &'a [Step] {
        self.steps
    }

    /// The position of a step.
    #[must_use]
    pub fn index(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The positions of the steps that this one waits for, ascending.
    #[must_use]
    pub fn dependencies(&self, at: usize) -> &[usize] {
        self.dependencies.get(at).map_or(&[], Vec::as_slice)
    }

    /// The positions of the steps that wait for this one, ascending.
    #[must_use]
    pub fn dependents(&self, at: usize) -> &[usize] {
        self.dependents.get(at).map_or(&[], Vec::as_slice)
    }

    /// For each step, the length of the longest path that leads to it. Steps of a cycle, and those
    /// behind one, have none.
    #[must_use]
    pub fn depths(&self) -> Vec<Option<usize>> {
        let mut depths = vec![None; self.len()];
        let mut level: Vec<usize> = Vec::new();
        let mut missing: Vec<usize> = self.dependencies.iter().map(Vec::len).collect();
        level.extend((0..self.len()).filter(|&at| self.dependencies(at).is_empty()));
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for &at in &level {
                if let Some(slot) = depths.get_mut(at) {
                    *slot = Some(depth);
                }
                for &dependent in self.dependents(at) {
                    if let Some(left) = missing.get_mut(dependent) {
                        *left -= 1;
                        if *left == 0 {
                            next.push(dependent);
                        }
                    }
                }
            }
            level = next;
            depth += 1;
        }
        depths
    }

    /// The steps by depth: all of one level may run at the same time. Within a level the order of
    /// the plan. Steps in or behind a cycle are left out.
    #[must_use]
    pub fn levels(&self) -> Vec<Vec<StepId>> {
        let mut levels: Vec<Vec<StepId>> = Vec::new();
        for (step, depth) in self.steps.iter().zip(self.depths()) {
            let Some(depth) = depth else { continue };
            if levels.len() <= depth {
                levels.resize(depth + 1, Vec::new());
            }
            if let Some(level) = levels.get_mut(depth) {
                level.push(step.id.clone());
            }
        }
        levels
    }

    /// Every step after all it depends on, by level and then in the order of the plan; `None` if
    /// there is a cycle.
    #[must_use]
    pub fn topological(&self) -> Option<Vec<StepId>> {
        let order: Vec<StepId> = self.levels().into_iter().flatten().collect();
        (order.len() == self.len()).then_some(order)
    }

    /// A cycle, if there is one: each step depends on the next, the last is the first again
    /// (`a → b → a`). Self-dependencies count.
    #[must_use]
    pub fn cycle(&self) -> Option<Vec<StepId>> {
        self.cycles().into_iter().next()
    }

    /// Cycles that share no step, at least one if there is any; in the form of [`Graph::cycle`].
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<StepId>> {
        let depths = self.depths();
        let stuck = |at: usize| depths.get(at).is_some_and(Option::is_none);
        let mut place: Vec<Option<usize>> = vec![None; self.len()];
        let mut path = Vec::new();
        let mut found = Vec::new();
        for start in (0..self.len()).filter(|&at| stuck(at)) {
            let begin = path.len();
            let mut at = start;
            // A stuck step waits for another stuck one, so each walk meets itself or an older one.
            while let Some(slot) = place.get_mut(at).filter(|slot| slot.is_none()) {
                *slot = Some(path.len());
                path.push(at);
                let waits = self.dependencies(at).iter().copied();
                let next = waits.filter(|&next| stuck(next)).max_by_key(|&to| to != at);
                at = next.unwrap_or(at);
            }
            if let Some(first) = place.get(at).copied().flatten().filter(|at| *at >= begin) {
                let members = path.iter().skip(first).chain(std::iter::once(&at));
                let members = members.filter_map(|&at| self.steps.get(at));
                found.push(members.map(|step| step.id.clone()).collect());
            }
        }
        found
    }

    /// Every step that must have ended before this one starts, in the order of the plan.
    #[must_use]
    pub fn ancestors(&self, id: &StepId) -> Vec<StepId> {
        let Some(at) = self.index(id.as_str()) else {
            return Vec::new();
        };
        let mut seen = self.flood(at, |at| self.dependencies(at));
        if let Some(own) = seen.get_mut(at) {
            *own = false;
        }
        self.marked(&seen)
    }

    /// Every step on a path from `target` to `firing`, both included, in the order of the plan:
    /// what a `Goto` puts back to `pending`. Empty if there is no such path.
    #[must_use]
    pub fn between(&self, target: &StepId, firing: &StepId) -> Vec<StepId> {
        let ends = (self.index(target.as_str()), self.index(firing.as_str()));
        let (Some(target), Some(firing)) = ends else {
            return Vec::new();
        };
        let mut below = self.flood(target, |at| self.dependents(at));
        let above = self.flood(firing, |at| self.dependencies(at));
        for (mark, other) in below.iter_mut().zip(above) {
            *mark &= other;
        }
        self.marked(&below)
    }

    fn flood<'g>(&self, from: usize, next: impl Fn(usize) -> &'g [usize]) -> Vec<bool> {
        let mut seen = vec![false; self.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            let Some(mark) = seen.get_mut(at).filter(|mark| !**mark) else {
                continue;
            };
            *mark = true;
            open.extend_from_slice(next(at));
        }
        seen
    }

    fn marked(&self, marks: &[bool]) -> Vec<StepId> {
        let marked = self.steps.iter().zip(marks).filter(|(_, mark)| **mark);
        marked.map(|(step, _)| step.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
