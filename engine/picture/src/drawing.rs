//! Contents of all pictures: nodes by level, edges, loops, hooks and triggers.
//!
//! Must not know a format.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use plue_plan::{
    graph::Graph,
    plan::Plan,
    policy::{Goto, OnFailure},
    shown::shown,
    step::Step,
};

/// Characters of a title that a picture holds at most.
const MAX_TITLE: usize = 120;

/// A step in the picture.
pub(super) struct Node {
    pub(super) id: String,
    /// The name, or the id.
    pub(super) title: String,
    pub(super) kind: &'static str,
    /// From 0; steps in or behind a cycle share the last one.
    pub(super) level: usize,
}

impl Node {
    /// Second line of a node: the kind, after the id if the title is a name.
    pub(super) fn below(&self) -> String {
        if self.title == self.id {
            self.kind.to_owned()
        } else {
            format!("{}, {}", self.id, self.kind)
        }
    }
}

/// An edge back to the start of a loop.
pub(super) struct Back {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Outcome of the loop: `fail` or `ok`.
    pub(super) on: &'static str,
    pub(super) max_visits: Option<u32>,
}

/// A list of hooks.
pub(super) struct HookList {
    pub(super) name: &'static str,
    /// Titles and kinds of hooks.
    pub(super) hooks: Vec<(String, &'static str)>,
}

pub(super) struct Drawing {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    /// From a dependency to its dependent.
    pub(super) edges: Vec<(usize, usize)>,
    pub(super) backs: Vec<Back>,
    pub(super) hooks: Vec<HookList>,
    pub(super) triggers: Vec<String>,
}

impl Drawing {
    pub(super) fn of(plan: &Plan) -> Self {
        let graph = Graph::new(plan);
        let depths = graph.depths();
        let beyond = depths.iter().flatten().max().map_or(0, |deepest| deepest + 1);
        let nodes = plan.steps.iter().zip(&depths).map(|(step, depth)| Node {
            id: shown(step.id.as_str(), MAX_TITLE),
            title: shown(&step.title(), MAX_TITLE),
            kind: step.action.kind(),
            level: depth.unwrap_or(beyond),
        });
        let edges = (0..graph.len()).flat_map(|to| {
            let from = graph.dependencies(to).iter();
            from.map(move |&from| (from, to))
        });
        Self {
            name: shown(&plan.name, MAX_TITLE),
            nodes: nodes.collect(),
            edges: edges.collect(),
            backs: backs(&graph),
            hooks: hooks(plan),
            triggers: plan
                .triggers
                .iter()
                .map(|trigger| shown(&trigger.words(), MAX_TITLE))
                .collect(),
        }
    }

    pub(super) fn levels(&self) -> usize {
        let levels = self.nodes.iter().map(|node| node.level + 1);
        levels.max().unwrap_or(0)
    }
}

pub(super) fn backs(graph: &Graph<'_>) -> Vec<Back> {
    let mut found = Vec::new();
    for (from, step) in graph.steps().iter().enumerate() {
        let failure = match &step.options.on_failure {
            OnFailure::Goto(goto) => Some(("fail", goto)),
            OnFailure::Fail | OnFailure::Skip | OnFailure::Continue => None,
        };
        let success = step.options.on_success.as_ref().map(|goto| ("ok", goto));
        for (on, Goto { goto, max_visits }) in failure.into_iter().chain(success) {
            if let Some(to) = graph.index(goto.as_str()) {
                let max_visits = *max_visits;
                found.push(Back { from, to, on, max_visits });
            }
        }
    }
    found
}

impl Back {
    /// `fail ≤3×`: what makes it fire, and how often the target is visited at most.
    pub(super) fn label(&self) -> String {
        match self.max_visits {
            Some(visits) => format!("{} ≤{visits}×", self.on),
            None => self.on.to_owned(),
        }
    }
}

fn hooks(plan: &Plan) -> Vec<HookList> {
    let hooks = &plan.hooks;
    let title = |step: &Step| (shown(&step.title(), MAX_TITLE), step.action.kind());
    [
        ("on_start", &hooks.on_start),
        ("on_success", &hooks.on_success),
        ("on_failure", &hooks.on_failure),
        ("on_complete", &hooks.on_complete),
    ]
    .into_iter()
    .filter(|(_, steps)| !steps.is_empty())
    .map(|(name, steps)| HookList { name, hooks: steps.iter().map(title).collect() })
    .collect()
}

/// The text cut to a number of terminal columns, with `…` if something was cut.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let mut out = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// The text cut in its middle: names of a matrix differ at their end.
pub(super) fn cut_middle(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut used, mut end) = (0, Vec::new());
    for c in text.chars().rev() {
        used += c.width().unwrap_or(0);
        if used > columns / 3 {
            break;
        }
        end.push(c);
    }
    let end: String = end.into_iter().rev().collect();
    cut(text, columns - end.width()) + &end
}

/// `1 step`, `2 steps`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
