//! The plan of a run as a picture: places from the engine, states from the rows. The table of steps has
//! the same content.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use maud::{Markup, html};
use plue_picture::placed::{Placed, PlacedNode};

use super::{address::Address, steps::StepLine};
use crate::{
    state::State,
    ui::{text, time},
};

/// Nodes that are drawn; larger plans have their table alone.
pub const MAX_NODES: usize = 2_000;
/// Nodes that the Tab key visits; in larger pictures it goes to the table.
const MAX_STOPS: usize = 60;

/// A laid-out plan with the steps of its run.
#[derive(Debug, Clone, Copy)]
pub struct Graph<'g> {
    /// Places of nodes and lines.
    pub placed: &'g Arc<Placed>,
    /// Lines of the table by the id of their step.
    pub steps: &'g HashMap<&'g str, &'g StepLine>,
    /// Ids of the steps on the critical path.
    pub critical: &'g HashSet<&'g str>,
    /// Address of the page.
    pub address: &'g Address,
}

/// A node's state and texts, from its steps.
struct Shown {
    state: State,
    sub: String,
    label: String,
    href: String,
    is_chosen: bool,
}

/// The picture of a plan; the steps at `critical` decided when the run ended.
#[must_use]
pub fn draw(
    placed: &Arc<Placed>,
    steps: &[StepLine],
    critical: &[usize],
    address: &Address,
) -> Markup {
    let critical = critical.iter().filter_map(|&at| Some(steps.get(at)?.id.as_str())).collect();
    let steps = steps.iter().map(|step| (step.id.as_str(), step)).collect();
    Graph { placed, steps: &steps, critical: &critical, address }.draw()
}

// === impl Graph ===

impl Graph<'_> {
    /// The picture in its box.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let placed = self.placed;
        if placed.nodes.len() > MAX_NODES {
            return html! {
                p.muted.graph-none {
                    "The graph has more than " (MAX_NODES) " nodes; the table below has all steps."
                }
            };
        }
        let (width, height) = placed.size;
        let view = format!("0 0 {width:.0} {height:.0}");
        html! {
            div.graph-box #graph tabindex="0" role="region" aria-label="Graph of the steps" {
                svg.graph-picture viewBox=(view) width=(format!("{width:.0}"))
                    height=(format!("{height:.0}")) data-graph {
                    (arrow())
                    g.edges { (self.edges()) }
                    g.loops {
                        @for one in &placed.loops {
                            path d=(one.path) marker-end="url(#graph-arrow)" {}
                            text x=(format!("{:.0}", one.at.0)) y=(format!("{:.0}", one.at.1))
                                text-anchor="middle" { (text::bounded(&one.label, text::NAME)) }
                        }
                    }
                    g { @for (at, node) in placed.nodes.iter().enumerate() { (self.node(at, node)) } }
                }
            }
        }
    }

    fn edges(&self) -> Markup {
        html! {
            @for edge in &self.placed.edges {
                @let class = match (self.is_critical(edge.from), self.is_critical(edge.to)) {
                    (true, true) => Some("crit"),
                    (_, _) => None,
                };
                path class=[class] d=(edge.path) marker-end="url(#graph-arrow)" {}
            }
        }
    }

    fn is_critical(&self, node: usize) -> bool {
        let members = self.placed.nodes.get(node).map(|node| node.members.as_slice());
        members.is_some_and(|members| members.iter().any(|id| self.critical.contains(id.as_str())))
    }

    fn node(&self, at: usize, node: &PlacedNode) -> Markup {
        let shown = self.shown(node);
        let (x, y) = node.at;
        let (width, height) = self.placed.node;
        let state = shown.state;
        let chosen = if shown.is_chosen { " chosen" } else { "" };
        let crit = if self.is_critical(at) { " crit" } else { "" };
        let class = format!("node {} is-{}{chosen}{crit}", state.tone(), state.as_str());
        let stop = (self.placed.nodes.len() > MAX_STOPS).then_some("-1");
        html! {
            a class=(class) href=(shown.href) aria-label=(shown.label) tabindex=[stop]
                aria-current=[shown.is_chosen.then_some("true")] data-step
                transform={ "translate(" (format!("{x:.1} {y:.1}")) ")" } {
                @if node.members.len() > 1 {
                    rect.under x="4" y="4" width=(width) height=(height) rx="8" {}
                }
                rect width=(width) height=(height) rx="8" {}
                svg x="10" y="16" width="16" height="16" viewBox="0 0 16 16" {
                    path.state-glyph d=(state.shape()) {}
                }
                text x="36" y="21" { (node.title) }
                text.sub x="36" y="37" { (shown.sub) }
            }
        }
    }

    fn shown(&self, node: &PlacedNode) -> Shown {
        let steps: Vec<&StepLine> =
            node.members.iter().filter_map(|id| self.steps.get(id.as_str()).copied()).collect();
        let is_chosen =
            self.address.step.as_ref().is_some_and(|id| node.members.iter().any(|own| own == id));
        let first = node.members.first().map_or("", String::as_str);
        let state = worst(steps.iter().map(|step| step.state));
        let is_group = node.members.len() > 1;
        let sub = match steps.as_slice() {
            [step] if !is_group => sub(step),
            _ => counts(&steps),
        };
        let href = if is_group { self.address.opening(first) } else { self.address.at(first) };
        let title = text::bounded(&node.whole, text::NAME);
        let label = format!("{title}: {}, {sub}", state.word());
        Shown { state, sub, label, href, is_chosen }
    }
}

fn arrow() -> Markup {
    html! {
        defs {
            marker #graph-arrow viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9"
                markerUnits="userSpaceOnUse" orient="auto" {
                path d="M0 0.5L7 4L0 7.5z" {}
            }
        }
    }
}

/// Kind, duration and repetitions.
fn sub(step: &StepLine) -> String {
    let mut parts = vec![step.kind.clone()];
    if let (Some(start), Some(end)) = (step.times.started, step.times.ended) {
        parts.push(time::took(end.as_millisecond().saturating_sub(start.as_millisecond())));
    }
    // Both do not fit the node.
    match (step.visit, step.attempts) {
        (2.., _) => parts.push(format!("visit {}", step.visit)),
        (_, 2..) => parts.push(format!("try {}", step.attempts)),
        (_, _) => {}
    }
    parts.join(" · ")
}

/// `118 passed, 2 failed`.
fn counts(steps: &[&StepLine]) -> String {
    let mut parts = Vec::new();
    for state in ORDER {
        let count = steps.iter().filter(|step| step.state == state).count();
        if count > 0 {
            parts.push(format!("{count} {}", state.word().to_lowercase()));
        }
    }
    parts.truncate(2);
    parts.join(", ")
}

/// States by how much they ask for attention.
const ORDER: [State; 9] = [
    State::Failed,
    State::TimedOut,
    State::Waiting,
    State::Running,
    State::Queued,
    State::Cancelled,
    State::Pending,
    State::Success,
    State::Skipped,
];

/// The state of a group.
fn worst(states: impl Iterator<Item = State>) -> State {
    let states: Vec<State> = states.collect();
    let found = ORDER.into_iter().find(|state| states.contains(state));
    found.unwrap_or(State::Pending)
}

/// The positions of the steps that the end of the run waited for: from the step that ended last back to
/// the dependency that ended last, and so on.
#[must_use]
pub fn critical_path(steps: &[StepLine]) -> Vec<usize> {
    let end = |at: usize| steps.get(at).and_then(|step| step.times.ended);
    let index: HashMap<&str, usize> =
        steps.iter().enumerate().map(|(at, step)| (step.id.as_str(), at)).collect();
    let started = |step: &&StepLine| step.times.started.is_some();
    let last = steps.iter().filter(started).filter_map(|step| index.get(step.id.as_str()).copied());
    let mut at = last.max_by_key(|&at| end(at));
    let mut path = Vec::new();
    while let Some(here) = at {
        path.push(here);
        let needs = steps.get(here).map(|step| step.needs.as_slice()).unwrap_or_default();
        let ran = needs.iter().filter_map(|id| index.get(id.as_str()).copied());
        // A cycle is no plan; the bound costs nothing.
        let ran = ran.filter(|&at| end(at).is_some() && path.len() <= steps.len());
        at = ran.max_by_key(|&at| end(at));
    }
    path.reverse();
    // One step is no path.
    if path.len() > 1 { path } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::run::steps::StepTimes;

    fn step(id: &str, needs: &[&str], end: i64) -> StepLine {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        StepLine {
            id: id.to_owned(),
            kind: "bash".to_owned(),
            state: State::Success,
            needs: needs.iter().map(|&id| id.to_owned()).collect(),
            times: StepTimes { ready: at(0), started: at(end - 1), ended: at(end) },
            ..StepLine::default()
        }
    }

    #[test]
    fn critical_paths_follow_the_last_ends() {
        let steps =
            [step("a", &[], 2), step("b", &[], 5), step("c", &["a", "b"], 7), step("d", &["a"], 6)];
        assert_eq!(critical_path(&steps), [1, 2]);
        assert!(critical_path(&steps[..1]).is_empty());
    }

    #[test]
    fn groups_show_counts_and_the_worst_state() {
        let plan = (0..6).map(|row| format!(r#"{{"id":"t-{row}","kind":"bash","run":"x"}}"#));
        let plan = plan.collect::<Vec<_>>().join(",");
        let plan = format!(r#"{{"version":1,"name":"m","steps":[{plan}]}}"#);
        let plan = plue_plan::Plan::from_json(plan.as_bytes()).unwrap();
        let placed = Arc::new(plue_picture::placed::placed(&plan, &Default::default()));
        let mut steps: Vec<StepLine> =
            (0..6).map(|row| step(&format!("t-{row}"), &[], 3)).collect();
        steps[2].state = State::Failed;
        let address = Address::of("r", "");
        let by_id = steps.iter().map(|step| (step.id.as_str(), step)).collect();
        let critical = HashSet::new();
        let graph =
            Graph { placed: &placed, steps: &by_id, critical: &critical, address: &address };
        let drawn = graph.draw().into_string();
        assert!(drawn.contains("1 failed, 5 passed"), "{drawn}");
        assert!(drawn.contains(r#"class="node bad is-failed""#), "{drawn}");
        assert!(drawn.contains(r#"href="/runs/r?open=t-0""#), "{drawn}");
        assert!(!drawn.contains("style="), "{drawn}");
    }
}
