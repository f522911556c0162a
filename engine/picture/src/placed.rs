//! A plan laid out for a page that draws it itself: places, lines and groups, without states and colours.
//!
//! It depends on the plan alone, so that it can be kept by the hash of the plan and the picture does not
//! move while states change.

use std::collections::{BTreeSet, HashMap, HashSet};

use plue_plan::{graph::Graph, plan::Plan, shown::shown, step::Step};

use crate::{
    drawing::{Back, Drawing, Node, backs, cut_middle},
    fold,
    svg::{Flow, HEIGHT, Scene, WIDTH},
};

/// Characters of a title.
const MAX_TITLE: usize = 120;
/// Columns of a title that fit next to the icon of the state.
const TITLE: usize = 19;

/// A plan laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Size of the picture in pixels.
    pub size: (f64, f64),
    /// Size of each node.
    pub node: (f64, f64),
    /// Nodes in the order of the plan.
    pub nodes: Vec<PlacedNode>,
    /// Dependencies, each pair of nodes once.
    pub edges: Vec<PlacedEdge>,
    /// Loops, in the order of their steps.
    pub loops: Vec<PlacedLoop>,
}

/// A step, or a group of steps that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedNode {
    /// Ids of its steps; more than one: a group.
    pub members: Vec<String>,
    /// Title that fits the node.
    pub title: String,
    /// Title at its full length, at most 120 characters.
    pub whole: String,
    /// Kind of its steps.
    pub kind: &'static str,
    /// Left upper corner, in pixels.
    pub at: (f64, f64),
}

/// A dependency as a curve with an arrow.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedEdge {
    /// Node that comes first.
    pub from: usize,
    /// Node that waits for it.
    pub to: usize,
    /// Data of its path.
    pub path: String,
}

/// A loop as a dashed line around the nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedLoop {
    /// Data of its path.
    pub path: String,
    /// Outcome that fires it, and the bound of visits: `fail ≤3×`.
    pub label: String,
    /// Place of the label.
    pub at: (f64, f64),
}

/// Lays out a plan from left to right. Groups of steps that a matrix made are one node each, unless a step
/// of `open` is among them.
#[must_use]
pub fn placed(plan: &Plan, open: &BTreeSet<&str>) -> Placed {
    let graph = Graph::new(plan);
    let backs = backs(&graph);
    let (members, node_of) = nodes(&graph, &backs, open);
    let drawing = drawing(&graph, backs, &members, &node_of);
    let scene = Scene::flowing(&drawing, Flow::Right, 0.0);
    let placed = members.iter().zip(&drawing.nodes).enumerate();
    let placed = placed.map(|(at, (members, node))| PlacedNode {
        members: ids(&graph, members),
        title: cut_middle(&node.title, TITLE),
        whole: node.title.clone(),
        kind: node.kind,
        at: scene.corner(at),
    });
    let lines = scene.lines();
    let lines = lines.map(|((from, to), path)| PlacedEdge { from, to, path });
    let loops = scene.lanes().into_iter().map(|(back, lane)| {
        let way = scene.way(back, lane);
        PlacedLoop { path: way.path, label: back.label(), at: (way.x, way.y) }
    });
    Placed {
        size: scene.size(),
        node: (WIDTH, HEIGHT),
        nodes: placed.collect(),
        edges: lines.collect(),
        loops: loops.collect(),
    }
}

/// The steps of each node, and the node of each step.
fn nodes(
    graph: &Graph<'_>,
    backs: &[Back],
    open: &BTreeSet<&str>,
) -> (Vec<Vec<usize>>, Vec<usize>) {
    // A loop is of one step; in a group its line would be a riddle.
    let single: HashSet<usize> = backs.iter().flat_map(|back| [back.from, back.to]).collect();
    let is_open = |members: &Vec<usize>| {
        let mut steps = members.iter().filter_map(|&at| graph.steps().get(at));
        steps.any(|step| open.contains(step.id.as_str()))
    };
    let groups: Vec<Vec<usize>> =
        fold::groups(graph, &single).into_iter().filter(|members| !is_open(members)).collect();
    let firsts: HashMap<usize, &Vec<usize>> =
        groups.iter().filter_map(|members| Some((*members.first()?, members))).collect();
    let folded: HashSet<usize> = groups.iter().flatten().copied().collect();
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut node_of = vec![0; graph.len()];
    for at in 0..graph.len() {
        let members = match firsts.get(&at) {
            Some(members) => (*members).clone(),
            None if folded.contains(&at) => continue,
            None => vec![at],
        };
        for &member in &members {
            if let Some(slot) = node_of.get_mut(member) {
                *slot = all.len();
            }
        }
        all.push(members);
    }
    (all, node_of)
}

fn drawing(
    graph: &Graph<'_>,
    backs: Vec<Back>,
    members: &[Vec<usize>],
    node_of: &[usize],
) -> Drawing {
    let depths = graph.depths();
    let beyond = depths.iter().flatten().max().map_or(0, |deepest| deepest + 1);
    let node = |at: usize| node_of.get(at).copied().unwrap_or(0);
    let nodes = members.iter().filter_map(|members| {
        let first = *members.first()?;
        let step = graph.steps().get(first)?;
        let level = depths.get(first).copied().flatten().unwrap_or(beyond);
        Some(Node {
            id: String::new(),
            title: title(step, members.len()),
            kind: step.action.kind(),
            level,
        })
    });
    let edges = (0..graph.len()).flat_map(|to| {
        let from = graph.dependencies(to).iter();
        from.map(move |&from| (node(from), node(to)))
    });
    let mut seen = HashSet::new();
    let edges: Vec<(usize, usize)> = edges.filter(|edge| seen.insert(*edge)).collect();
    let backs =
        backs.into_iter().map(|back| Back { from: node(back.from), to: node(back.to), ..back });
    Drawing {
        name: String::new(),
        nodes: nodes.collect(),
        edges,
        backs: backs.collect(),
        hooks: Vec::new(),
        triggers: Vec::new(),
    }
}

fn ids(graph: &Graph<'_>, members: &[usize]) -> Vec<String> {
    let steps = members.iter().filter_map(|&at| graph.steps().get(at));
    steps.map(|step| step.id.to_string()).collect()
}

fn title(step: &Step, count: usize) -> String {
    match count {
        1 => shown(&step.title(), MAX_TITLE),
        _ => format!("{} × {count}", shown(fold::stem(step.id.as_str()), MAX_TITLE)),
    }
}
