//! A plan as DOT, for Graphviz.
//!
//! Must not use HTML labels; in quoted ones a quote, a backslash and an ampersand are all that is
//! read.

use std::fmt::Write as _;

use super::drawing::Drawing;
use plue_plan::Plan;

/// The plan as a directed graph. Ids are `n0`, `n1`, … by position; names stand in quoted labels.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let drawing = Drawing::of(plan);
    let mut out = String::from("digraph plan {\n");
    let name = escaped(&drawing.name);
    let _ = writeln!(out, "    graph [label=\"{name}\", labelloc=t, fontname=\"sans-serif\"];");
    out.push_str("    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    out.push_str("    edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        let (title, id) = (escaped(&node.title), escaped(&node.id));
        let (below, colour) = (escaped(&node.below()), super::svg::colour(node.kind));
        let _ = writeln!(
            out,
            "    n{at} [label=\"{title}\\n{below}\", tooltip=\"{id}\", color=\"{colour}\"];"
        );
    }
    for (from, to) in &drawing.edges {
        let _ = writeln!(out, "    n{from} -> n{to};");
    }
    for back in &drawing.backs {
        let (from, to, label) = (back.from, back.to, escaped(&back.label()));
        let _ = writeln!(
            out,
            "    n{from} -> n{to} [style=dashed, constraint=false, label=\"{label}\"];"
        );
    }
    for (number, list) in drawing.hooks.iter().enumerate() {
        let _ = writeln!(out, "    subgraph cluster_h{number} {{");
        let _ = writeln!(out, "        label=\"{}\";", list.name);
        for (at, (title, kind)) in list.hooks.iter().enumerate() {
            let (title, colour) = (escaped(title), super::svg::colour(kind));
            let _ = writeln!(
                out,
                "        h{number}n{at} [label=\"{title}\\n{kind}\", color=\"{colour}\"];"
            );
        }
        out.push_str("    }\n");
    }
    out.push_str("}\n");
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            other => out.push(other),
        }
    }
    out
}
