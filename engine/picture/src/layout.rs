//! Positions of the nodes of a layered picture: layers by longest path, order by barycentre,
//! positions by order-preserving least squares.
//!
//! Coordinates are abstract: layers follow each other on the main axis, nodes of a layer on the
//! cross axis. Must not know a node's appearance.

use super::drawing::Drawing;

/// Passes over all layers that look for a better order, and for better positions.
const SWEEPS: usize = 8;
/// Bends of long edges that are placed; above, long edges are drawn straight.
const MAX_BENDS: usize = 20_000;

/// Sizes and gaps, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) node_cross: f64,
    pub(super) bend_cross: f64,
    pub(super) gap: f64,
}

/// A node or a bend of a long edge.
struct Point {
    is_node: bool,
    above: Vec<usize>,
    below: Vec<usize>,
}

pub(super) struct Layout {
    /// The centre of each node on the cross axis, from 0.
    pub(super) cross: Vec<f64>,
    /// The extent of the cross axis.
    pub(super) extent: f64,
    /// For each edge of the drawing, the centres of its bends, one for each layer between.
    pub(super) bends: Vec<Vec<f64>>,
}

pub(super) fn layout(drawing: &Drawing, measure: Measure) -> Layout {
    let (mut points, mut layers, paths) = points(drawing);
    order(&points, &mut layers);
    let mut cross = vec![0.0; points.len()];
    place(&points, &layers, &mut cross, measure);
    let size = |at: usize| size(&points, at, measure);
    let low = cross.iter().enumerate().map(|(at, c)| c - size(at) / 2.0);
    let low = low.fold(f64::INFINITY, f64::min);
    let high = cross.iter().enumerate().map(|(at, c)| c + size(at) / 2.0);
    let high = high.fold(f64::NEG_INFINITY, f64::max);
    let at = |point: usize| cross.get(point).map_or(0.0, |c| c - low);
    let result = Layout {
        cross: (0..drawing.nodes.len()).map(at).collect(),
        extent: (high - low).max(0.0),
        bends: paths.iter().map(|path| path.iter().map(|&bend| at(bend)).collect()).collect(),
    };
    points.clear();
    result
}

type Points = (Vec<Point>, Vec<Vec<usize>>, Vec<Vec<usize>>);

/// Nodes and bends, the layers they stand in, and the bends of each edge.
fn points(drawing: &Drawing) -> Points {
    let mut points: Vec<Point> = Vec::new();
    let mut layers = vec![Vec::new(); drawing.levels()];
    let mut add = |points: &mut Vec<Point>, level: usize, is_node: bool| {
        if let Some(layer) = layers.get_mut(level) {
            layer.push(points.len());
        }
        points.push(Point { is_node, above: Vec::new(), below: Vec::new() });
        points.len() - 1
    };
    for node in &drawing.nodes {
        add(&mut points, node.level, true);
    }
    let level = |at: usize| drawing.nodes.get(at).map_or(0, |node| node.level);
    let long = |(from, to): &(usize, usize)| level(*to).saturating_sub(level(*from) + 1);
    let straight = drawing.edges.iter().map(long).sum::<usize>() > MAX_BENDS;
    let mut paths = Vec::with_capacity(drawing.edges.len());
    for &(from, to) in &drawing.edges {
        let mut bends = Vec::new();
        let mut last = from;
        if !straight {
            for between in level(from) + 1..level(to) {
                let bend = add(&mut points, between, false);
                link(&mut points, last, bend);
                bends.push(bend);
                last = bend;
            }
        }
        // Edges within a layer belong to a cycle; they do not pull.
        if level(from) < level(to) {
            link(&mut points, last, to);
        }
        paths.push(bends);
    }
    (points, layers, paths)
}

fn link(points: &mut [Point], above: usize, below: usize) {
    if let Some(point) = points.get_mut(above) {
        point.below.push(below);
    }
    if let Some(point) = points.get_mut(below) {
        point.above.push(above);
    }
}

/// Sorts each layer by the mean place of the neighbours in the layer before, down and up.
fn order(points: &[Point], layers: &mut [Vec<usize>]) {
    let mut rank = vec![0.0; points.len()];
    layers.iter().for_each(|layer| number(layer, &mut rank));
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let count = layers.len();
        for step in 1..count {
            let at = if down { step } else { count - 1 - step };
            let Some(layer) = layers.get_mut(at) else {
                continue;
            };
            let mut keyed: Vec<(f64, usize)> = layer
                .iter()
                .map(|&point| {
                    let neighbours = neighbours(points, point, down);
                    let own = rank.get(point).copied().unwrap_or(0.0);
                    (mean(neighbours, &rank).unwrap_or(own), point)
                })
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, point)| point).collect();
            number(layer, &mut rank);
        }
    }
}

/// Ranks from 0 to 1, so that layers of different sizes compare.
fn number(layer: &[usize], rank: &mut [f64]) {
    let scale = 1.0 / as_f64(layer.len().max(1));
    for (place, &point) in layer.iter().enumerate() {
        if let Some(slot) = rank.get_mut(point) {
            *slot = (as_f64(place) + 0.5) * scale;
        }
    }
}

fn neighbours(points: &[Point], at: usize, above: bool) -> &[usize] {
    points.get(at).map_or(&[], |point| if above { &point.above } else { &point.below })
}

fn mean(of: &[usize], values: &[f64]) -> Option<f64> {
    let sum: f64 = of.iter().filter_map(|&at| values.get(at)).sum();
    (!of.is_empty()).then(|| sum / as_f64(of.len()))
}

fn size(points: &[Point], at: usize, measure: Measure) -> f64 {
    match points.get(at) {
        Some(point) if !point.is_node => measure.bend_cross,
        _ => measure.node_cross,
    }
}

/// Moves every point towards its neighbours, without touching the order or the gaps.
fn place(points: &[Point], layers: &[Vec<usize>], cross: &mut [f64], measure: Measure) {
    for layer in layers {
        let wanted = vec![0.0; layer.len()];
        settle(points, layer, &wanted, cross, measure);
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        for step in 0..layers.len() {
            let at = if down { step } else { layers.len() - 1 - step };
            let Some(layer) = layers.get(at) else {
                continue;
            };
            let wanted: Vec<f64> = layer
                .iter()
                .map(|&point| {
                    let own = cross.get(point).copied().unwrap_or(0.0);
                    mean(neighbours(points, point, down), cross).unwrap_or(own)
                })
                .collect();
            settle(points, layer, &wanted, cross, measure);
        }
    }
}

/// The positions nearest to those wanted that keep order and gaps: isotonic regression by pooling
/// adjacent violators.
fn settle(points: &[Point], layer: &[usize], wanted: &[f64], cross: &mut [f64], measure: Measure) {
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (place, &point) in layer.iter().enumerate() {
        let half = size(points, point, measure) / 2.0;
        offset += if place == 0 { 0.0 } else { half + measure.gap };
        offsets.push(offset);
        offset += half;
    }
    // Blocks of (sum, count) whose means ascend.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        let mut block = (want - offset, 1);
        while let Some(&(sum, count)) = blocks.last() {
            if sum / as_f64(count) <= block.0 / as_f64(block.1) {
                break;
            }
            blocks.pop();
            block = (block.0 + sum, block.1 + count);
        }
        blocks.push(block);
    }
    let settled =
        blocks.iter().flat_map(|&(sum, count)| std::iter::repeat_n(sum / as_f64(count), count));
    for ((&point, base), offset) in layer.iter().zip(settled).zip(&offsets) {
        if let Some(slot) = cross.get_mut(point) {
            *slot = base + offset;
        }
    }
}

/// Counts here are below 2⁵³.
pub(super) fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
