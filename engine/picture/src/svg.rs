//! A plan as SVG: layers, curved edges, dashed ways back, light and dark.
//!
//! Must not contain a script, a link or a reference to another document; it is safe inside a page.

use std::fmt::Write as _;

use super::{
    drawing::{Back, Drawing, counted, cut, cut_middle},
    layout::{Layout, Measure, as_f64, layout},
};
use plue_plan::Plan;

mod edge;

/// The colour of each kind of step.
pub(super) const COLOURS: [(&str, &str); 9] = [
    ("bash", "#3867d6"),
    ("python", "#c27c0e"),
    ("llm", "#8854d0"),
    ("approval", "#d1495b"),
    ("negotiate", "#b0413e"),
    ("workflow", "#0f8a6d"),
    ("call", "#2d98da"),
    ("wait", "#778ca3"),
    ("plugin", "#4b6584"),
];

pub(super) fn colour(kind: &str) -> &'static str {
    let found = COLOURS.iter().find(|(name, _)| *name == kind);
    found.map_or("#778ca3", |(_, colour)| colour)
}

pub(super) const WIDTH: f64 = 184.0;
pub(super) const HEIGHT: f64 = 48.0;
const MARGIN: f64 = 20.0;
/// Above the first layer: title and triggers.
const HEAD: f64 = 64.0;
/// Columns of a title that fit into a node.
const TITLE: usize = 22;
/// Room of one line below the picture.
const LINE: f64 = 18.0;

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.h{font-size:17px;font-weight:600}.s,.k{font-size:11px;fill:#59636e}\
.n{fill:#ffffff;stroke:#c5ccd3}.e{fill:none;stroke:#8c959f;stroke-width:1.4}\
.g{fill:none;stroke:#bc4c00;stroke-width:1.4;stroke-dasharray:5 4}\
.gl{font-size:11px;fill:#bc4c00}.a{fill:#8c959f}.ga{fill:#bc4c00}.bg{fill:#f6f8fa}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.s,.k{fill:#9198a1}\
.n{fill:#161b22;stroke:#3d444d}.e{stroke:#7d8590}.a{fill:#7d8590}.g{stroke:#f0883e}\
.gl,.ga{fill:#f0883e}.bg{fill:#0d1117}}";

/// Direction of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Down,
    Right,
}

/// Everything placed; turns abstract coordinates into pixels.
pub(super) struct Scene<'d> {
    drawing: &'d Drawing,
    layout: Layout,
    flow: Flow,
    /// Main size of a node, and the gap between layers.
    node_main: f64,
    layer_gap: f64,
    /// Room above the first layer.
    head: f64,
}

/// The plan as a picture. Wide plans flow to the right, others down.
#[must_use]
pub fn svg(plan: &Plan) -> String {
    let drawing = Drawing::of(plan);
    let scene = Scene::of(&drawing);
    let (width, height) = scene.size();
    let mut out = String::new();
    let count = counted(drawing.nodes.len(), "step");
    let name = escaped(&drawing.name);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
         <title>{name}</title>\n<desc>A plan of {count}: {}</desc>\n<style>{STYLE}</style>",
        escaped(&description(&drawing))
    );
    out.push_str(
        "<defs>\
<marker id=\"plue-a\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"a\" d=\"M0 0L8 4L0 8z\"/></marker>\
<marker id=\"plue-g\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"ga\" d=\"M0 0L8 4L0 8z\"/></marker>\
</defs>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n",
    );
    scene.head(&mut out, &count);
    scene.edges(&mut out);
    scene.nodes(&mut out);
    scene.hooks(&mut out, height);
    out.push_str("</svg>\n");
    out
}

/// The dependencies in words, for those who cannot see the picture.
fn description(drawing: &Drawing) -> String {
    let mut parts = Vec::new();
    for node in drawing.nodes.iter().take(50) {
        parts.push(format!("{} ({})", node.title, node.kind));
    }
    if drawing.nodes.len() > 50 {
        parts.push("…".to_owned());
    }
    parts.join(", ")
}

/// Wide plans flow to the right, others down.
fn preferred(drawing: &Drawing) -> Flow {
    let mut widths = vec![0_usize; drawing.levels()];
    for node in &drawing.nodes {
        if let Some(width) = widths.get_mut(node.level) {
            *width += 1;
        }
    }
    let widest = widths.into_iter().max().unwrap_or(0);
    if widest > 4 { Flow::Right } else { Flow::Down }
}

impl<'d> Scene<'d> {
    fn of(drawing: &'d Drawing) -> Self {
        Self::flowing(drawing, preferred(drawing), HEAD)
    }

    /// The scene in one direction, below `head` pixels.
    pub(super) fn flowing(drawing: &'d Drawing, flow: Flow, head: f64) -> Self {
        let (node_main, node_cross, gap) = match flow {
            Flow::Down => (HEIGHT, WIDTH, 28.0),
            Flow::Right => (WIDTH, HEIGHT, 14.0),
        };
        let measure = Measure { node_cross, bend_cross: 6.0, gap };
        let layer_gap = match flow {
            Flow::Down => 44.0,
            Flow::Right => 76.0,
        };
        Self { layout: layout(drawing, measure), drawing, flow, node_main, layer_gap, head }
    }

    /// Room between two lanes of ways back.
    fn lane(&self) -> f64 {
        match self.flow {
            Flow::Down => 60.0,
            Flow::Right => 20.0,
        }
    }

    /// The lanes that leave the picture; a loop to the step itself stays next to it.
    fn far_backs(&self) -> impl Iterator<Item = &'d Back> {
        let backs = self.drawing.backs.iter();
        backs.filter(|back| back.from != back.to)
    }

    fn has_backs(&self) -> bool {
        !self.drawing.backs.is_empty()
    }

    pub(super) fn size(&self) -> (f64, f64) {
        let levels = as_f64(self.drawing.levels().max(1));
        let main = levels * (self.node_main + self.layer_gap) - self.layer_gap;
        let lanes = as_f64(self.far_backs().count()) * self.lane();
        let own = if self.has_backs() { self.lane() } else { 0.0 };
        let cross = self.layout.extent + lanes + own;
        let (width, height) = match self.flow {
            Flow::Down => (cross, main),
            Flow::Right => (main, cross),
        };
        let ends = if self.has_backs() { 24.0 } else { 0.0 };
        let foot = as_f64(self.drawing.hooks.len()) * LINE;
        let width = (width + 2.0 * MARGIN + ends).max(420.0);
        (width, self.head + height + foot + 2.0 * MARGIN + ends)
    }

    /// Pixels of a point.
    fn at(&self, main: f64, cross: f64) -> (f64, f64) {
        let ends = if self.has_backs() { 12.0 } else { 0.0 };
        match self.flow {
            Flow::Down => (MARGIN + cross, self.head + MARGIN + ends + main),
            Flow::Right => (MARGIN + ends + main, self.head + MARGIN + cross),
        }
    }

    /// Start of a layer on the main axis.
    fn layer(&self, level: usize) -> f64 {
        as_f64(level) * (self.node_main + self.layer_gap)
    }

    /// Begin on the main axis and centre on the cross axis.
    fn node(&self, at: usize) -> (f64, f64) {
        let level = self.drawing.nodes.get(at).map_or(0, |node| node.level);
        let cross = self.layout.cross.get(at).copied().unwrap_or(0.0);
        (self.layer(level), cross)
    }

    /// Left upper corner of a node.
    pub(super) fn corner(&self, at: usize) -> (f64, f64) {
        let (main, cross) = self.node(at);
        match self.flow {
            Flow::Down => self.at(main, cross - WIDTH / 2.0),
            Flow::Right => self.at(main, cross - HEIGHT / 2.0),
        }
    }

    fn head(&self, out: &mut String, count: &str) {
        let name = escaped(&cut(&self.drawing.name, 48));
        let triggers = &self.drawing.triggers;
        let on = if triggers.is_empty() { "" } else { " · on " };
        let line = format!("{count}{on}{}", triggers.join(" · "));
        let line = escaped(&cut(&line, 68));
        let _ = writeln!(
            out,
            "<text class=\"h\" x=\"{MARGIN}\" y=\"32\">{name}</text>\n\
             <text class=\"s\" x=\"{MARGIN}\" y=\"52\">{line}</text>"
        );
    }

    fn nodes(&self, out: &mut String) {
        for (at, node) in self.drawing.nodes.iter().enumerate() {
            let (x, y) = self.corner(at);
            let (title, kind) = (escaped(&cut_middle(&node.title, TITLE)), node.kind);
            let (full, id) = (escaped(&node.title), escaped(&node.id));
            let colour = colour(kind);
            let label = if node.title == node.id {
                kind.to_owned()
            } else {
                format!("{kind} · {}", escaped(&cut_middle(&node.id, TITLE - 4)))
            };
            let _ = writeln!(
                out,
                "<g><title>{full} ({kind}, {id})</title>\
                 <rect class=\"n\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
                 <rect x=\"{:.1}\" y=\"{:.1}\" width=\"4\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{title}</text>\
                 <text class=\"k\" x=\"{:.1}\" y=\"{:.1}\">{label}</text></g>",
                x + 5.0,
                y + 7.0,
                HEIGHT - 14.0,
                x + 16.0,
                y + 21.0,
                x + 16.0,
                y + 37.0,
            );
        }
    }

    fn hooks(&self, out: &mut String, height: f64) {
        let first = height - MARGIN - as_f64(self.drawing.hooks.len()) * LINE + 12.0;
        for (at, list) in self.drawing.hooks.iter().enumerate() {
            let hooks = list.hooks.iter();
            let hooks: Vec<String> =
                hooks.map(|(title, kind)| format!("{title} ({kind})")).collect();
            let line = format!("{}: {}", list.name, hooks.join(", "));
            let y = first + as_f64(at) * LINE;
            let line = escaped(&cut(&line, 68));
            let _ = writeln!(out, "<text class=\"s\" x=\"{MARGIN}\" y=\"{y:.1}\">{line}</text>");
        }
    }
}

/// Text for XML, in content and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No XML document may hold these two.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
