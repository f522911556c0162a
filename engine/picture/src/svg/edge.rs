//! The lines of the picture: dependencies as curves, loops as dashed lanes at its side.
//!
//! Must not place anything: lanes are given by the scene.

use std::fmt::Write as _;

use super::{Flow, Scene, as_f64, escaped};
use crate::drawing::Back;

/// A loop's line with the place of its label.
pub(crate) struct Way {
    pub(crate) path: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// `text-anchor` of the label.
    pub(crate) anchor: &'static str,
}

impl Scene<'_> {
    pub(super) fn edges(&self, out: &mut String) {
        for (_, path) in self.lines() {
            let _ = writeln!(out, "<path class=\"e\" d=\"{path}\" marker-end=\"url(#plue-a)\"/>");
        }
        for (back, lane) in self.lanes() {
            let Way { path, x, y, anchor } = self.way(back, lane);
            let label = escaped(&back.label());
            let _ = writeln!(
                out,
                "<path class=\"g\" d=\"{path}\" stroke-linejoin=\"round\" marker-end=\"url(#plue-g)\"/>\
                 <text class=\"gl\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>"
            );
        }
    }

    /// The dependencies, each with its curve.
    pub(crate) fn lines(&self) -> impl Iterator<Item = ((usize, usize), String)> {
        let edges = self.drawing.edges.iter().zip(&self.layout.bends);
        edges.map(|(&edge, bends)| (edge, self.edge(edge, bends)))
    }

    /// The ways back, each with its lane.
    pub(crate) fn lanes(&self) -> Vec<(&Back, f64)> {
        let lane = |number| self.layout.extent + 16.0 + as_f64(number) * self.lane();
        let far = self.far_backs().enumerate().map(|(number, back)| (back, lane(number)));
        let near = self.drawing.backs.iter().filter(|back| back.from == back.to);
        let near = near.map(|back| {
            let (_, cross) = self.node(back.from);
            (back, cross + self.node_cross() / 2.0 + 8.0)
        });
        far.chain(near).collect()
    }

    fn node_cross(&self) -> f64 {
        match self.flow {
            Flow::Down => super::WIDTH,
            Flow::Right => super::HEIGHT,
        }
    }

    /// From the end of one node to the begin of another, straight through the layers between.
    fn edge(&self, (from, to): (usize, usize), bends: &[f64]) -> String {
        let (begin, start) = self.node(from);
        let (end, target) = self.node(to);
        let level = self.drawing.nodes.get(from).map_or(0, |node| node.level);
        let mut last = (begin + self.node_main, start);
        let mut path = format!("M{}", self.point(last));
        for (number, &cross) in (1..).zip(bends) {
            let layer = self.layer(level + number);
            self.curve(&mut path, last, (layer, cross));
            last = (layer + self.node_main, cross);
            let _ = write!(path, "L{}", self.point(last));
        }
        self.curve(&mut path, last, (end, target));
        path
    }

    fn curve(&self, path: &mut String, from: (f64, f64), to: (f64, f64)) {
        let middle = f64::midpoint(from.0, to.0);
        let (one, two) = (self.point((middle, from.1)), self.point((middle, to.1)));
        let _ = write!(path, "C{one} {two} {}", self.point(to));
    }

    fn point(&self, (main, cross): (f64, f64)) -> String {
        let (x, y) = self.at(main, cross);
        format!("{x:.1} {y:.1}")
    }

    /// Out at the end of the firing step, along the lane at `lane`, in at the begin of the target.
    pub(crate) fn way(&self, back: &Back, lane: f64) -> Way {
        let (begin, start) = self.node(back.from);
        let (end, target) = self.node(back.to);
        let side = self.node_cross() * 0.36;
        let leave = begin + self.node_main;
        let corners = [
            (leave, start + side),
            (leave + 12.0, start + side),
            (leave + 12.0, lane),
            (end - 12.0, lane),
            (end - 12.0, target + side),
            (end, target + side),
        ];
        let mut path = String::new();
        for (number, corner) in corners.into_iter().enumerate() {
            let command = if number == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{}", self.point(corner));
        }
        let (x, y) = self.at(f64::midpoint(leave, end), lane);
        let (x, y, anchor) = match self.flow {
            Flow::Down => (x + 5.0, y + 4.0, "start"),
            Flow::Right => (x, y - 4.0, "middle"),
        };
        Way { path, x, y, anchor }
    }
}
