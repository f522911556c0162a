//! The lists of steps of a plan: the DAG and the four lists of hooks, each a graph of its own.
//!
//! Must not report: it only answers where a step stands.

use std::collections::HashMap;

use crate::{
    graph::Graph,
    plan::Plan,
    step::Step,
    validate::{SourceMap, report::Site},
};

/// List that a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupKind {
    Main,
    OnStart,
    OnSuccess,
    OnFailure,
    OnComplete,
}

pub(super) struct Group<'a> {
    pub(super) kind: GroupKind,
    pub(super) graph: Graph<'a>,
    /// For each step, how many steps of the same id stand before it in the plan.
    pub(super) occurrences: Vec<usize>,
}

pub(super) struct Groups<'a> {
    pub(super) groups: Vec<Group<'a>>,
    pub(super) places: &'a SourceMap,
    /// The first list in which each id stands.
    home: HashMap<&'a str, GroupKind>,
}

// === impl GroupKind ===

impl GroupKind {
    pub(super) fn is_hook(self) -> bool {
        self != Self::Main
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Main => "steps",
            Self::OnStart => "hooks.on_start",
            Self::OnSuccess => "hooks.on_success",
            Self::OnFailure => "hooks.on_failure",
            Self::OnComplete => "hooks.on_complete",
        }
    }
}

// === impl Groups ===

impl<'a> Groups<'a> {
    pub(super) fn of(plan: &'a Plan, places: &'a SourceMap) -> Self {
        let hooks = &plan.hooks;
        let lists: [(GroupKind, &'a [Step]); 5] = [
            (GroupKind::Main, &plan.steps),
            (GroupKind::OnStart, &hooks.on_start),
            (GroupKind::OnSuccess, &hooks.on_success),
            (GroupKind::OnFailure, &hooks.on_failure),
            (GroupKind::OnComplete, &hooks.on_complete),
        ];
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut home = HashMap::new();
        let groups = lists
            .into_iter()
            .filter(|(_, steps)| !steps.is_empty())
            .map(|(kind, steps)| {
                let occurrences = steps.iter().map(|step| {
                    home.entry(step.id.as_str()).or_insert(kind);
                    let count = seen.entry(step.id.as_str()).or_insert(0);
                    *count += 1;
                    *count - 1
                });
                Group { kind, occurrences: occurrences.collect(), graph: Graph::of(steps) }
            })
            .collect();
        Self { groups, places, home }
    }

    /// Every step with its site, in the order of the plan.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a Step, Site<'a>)> {
        self.groups
            .iter()
            .flatten()
            .map(|(step, occurrence)| (step, Site::step(self.places, &step.id, occurrence)))
    }

    pub(super) fn home(&self, id: &str) -> Option<GroupKind> {
        self.home.get(id).copied()
    }

    pub(super) fn group(&self, kind: GroupKind) -> Option<&Group<'a>> {
        self.groups.iter().find(|group| group.kind == kind)
    }

    /// Every id, once for each step.
    pub(super) fn ids(&self) -> impl Iterator<Item = &'a str> {
        self.groups.iter().flatten().map(|(step, _)| step.id.as_str())
    }
}

impl<'a> Group<'a> {
    pub(super) fn site(&self, places: &'a SourceMap, at: usize) -> Option<Site<'a>> {
        let step: &'a Step = self.graph.steps().get(at)?;
        let occurrence = self.occurrences.get(at).copied().unwrap_or(0);
        Some(Site::step(places, &step.id, occurrence))
    }
}

impl<'a, 'g> IntoIterator for &'g Group<'a> {
    type Item = (&'a Step, usize);
    type IntoIter =
        std::iter::Zip<std::slice::Iter<'a, Step>, std::iter::Copied<std::slice::Iter<'g, usize>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.graph.steps().iter().zip(self.occurrences.iter().copied())
    }
}
