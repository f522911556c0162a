//! A plan as a Mermaid flowchart, for Markdown of forges.
//!
//! Must not pass on a character that Mermaid reads: everything but letters, digits and a few marks
//! becomes a numeric entity.

use std::fmt::Write as _;

use super::drawing::{Drawing, counted};
use plue_plan::Plan;

/// The plan as a flowchart. Ids are `n0`, `n1`, … by position; names stand in quoted labels.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let drawing = Drawing::of(plan);
    let mut out = String::from("flowchart TD\n");
    let count = counted(drawing.nodes.len(), "step");
    let _ = writeln!(out, "    accTitle: {}", escaped(&drawing.name));
    let _ = writeln!(out, "    accDescr: a plan of {count}");
    for (at, node) in drawing.nodes.iter().enumerate() {
        let (open, close) = shape(node.kind);
        let title = escaped(&node.title);
        let (below, kind) = (escaped(&node.below()), node.kind);
        let _ = writeln!(out, "    n{at}{open}\"{title}<br/>{below}\"{close}:::{kind}_kind");
    }
    for (from, to) in &drawing.edges {
        let _ = writeln!(out, "    n{from} --> n{to}");
    }
    for back in &drawing.backs {
        let (from, to, label) = (back.from, back.to, escaped(&back.label()));
        let _ = writeln!(out, "    n{from} -. \"{label}\" .-> n{to}");
    }
    for (number, list) in drawing.hooks.iter().enumerate() {
        let _ = writeln!(out, "    subgraph h{number}[\"{}\"]", list.name);
        for (at, (title, kind)) in list.hooks.iter().enumerate() {
            let title = escaped(title);
            let _ = writeln!(out, "        h{number}n{at}[\"{title}<br/>{kind}\"]:::{kind}_kind");
        }
        out.push_str("    end\n");
    }
    for (kind, colour) in super::svg::COLOURS {
        let _ = writeln!(out, "    classDef {kind}_kind stroke:{colour},stroke-width:2px");
    }
    out
}

fn shape(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "llm" => ("([", "])"),
        "approval" | "negotiate" => ("{{", "}}"),
        "workflow" => ("[[", "]]"),
        "wait" => ("(", ")"),
        _ => ("[", "]"),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // "1. x" and "- x" at the begin of a label would be read as a Markdown list.
    let mut is_list = true;
    for c in text.chars() {
        let marks = matches!(c, ' ' | '_' | ',' | '/' | ':' | '…' | '≤' | '×');
        if c.is_alphanumeric() || marks || (matches!(c, '-' | '.') && !is_list) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
        is_list &= c.is_numeric() || c == ' ';
    }
    out
}
