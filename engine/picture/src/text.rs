//! A plan in a terminal of 80 columns: one line a step, levels from top to bottom.
//!
//! Must not colour, and must not write wider than [`COLUMNS`].

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::drawing::{Drawing, Node, counted, cut, cut_middle};
use plue_plan::Plan;

/// Width of the picture.
const COLUMNS: usize = 80;
/// Width of the widest title column.
const TITLE: usize = 32;
/// Width of the longest kind.
const KIND: usize = 9;

/// The plan as text. Each step stands below everything it waits for; steps of one level may run at
/// the same time, and `←` names what a step waits for. Steps go by their ids, which is what commands
/// take; a name of its own stands behind in quotes.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let drawing = Drawing::of(plan);
    let mut out = String::new();
    let levels = drawing.levels();
    let counts = format!("{}, {}", counted(drawing.nodes.len(), "step"), counted(levels, "level"));
    let name = cut(&drawing.name, COLUMNS - counts.width() - 2);
    line(&mut out, &format!("{name}  {counts}"));
    for (at, trigger) in drawing.triggers.iter().enumerate() {
        let word = if at == 0 { "on" } else { "  " };
        line(&mut out, &format!("{word} {trigger}"));
    }
    let titles = drawing.nodes.iter().map(|node| node.id.width());
    let title = titles.max().unwrap_or(0).min(TITLE);
    let mut by_level = vec![Vec::new(); levels];
    for (at, node) in drawing.nodes.iter().enumerate() {
        if let Some(members) = by_level.get_mut(node.level) {
            members.push((at, node));
        }
    }
    for (number, members) in (1..).zip(&by_level) {
        let above = if number == 1 { "\n" } else { "      │\n      ▼\n" };
        out.push_str(above);
        level(&mut out, &drawing, (number, members), title);
    }
    backs(&mut out, &drawing);
    for list in &drawing.hooks {
        let hooks = list.hooks.iter();
        let hooks: Vec<String> = hooks.map(|(title, kind)| format!("{title} ({kind})")).collect();
        line(&mut out, &format!("{}: {}", list.name, hooks.join(", ")));
    }
    out
}

fn level(
    out: &mut String,
    drawing: &Drawing,
    (number, members): (usize, &[(usize, &Node)]),
    title: usize,
) {
    for (row, (at, node)) in members.iter().enumerate() {
        let number = if row == 0 { number.to_string() } else { String::new() };
        let name = cut_middle(&node.id, title);
        let pad = title - name.width();
        let from = waits(drawing, *at);
        let own =
            if node.title == node.id { String::new() } else { format!("  \"{}\"", node.title) };
        line(out, &format!("{number:>4}  {name}{:pad$}  {:KIND$}{from}{own}", "", node.kind));
    }
}

fn waits(drawing: &Drawing, at: usize) -> String {
    // Edges come sorted by where they lead.
    let first = drawing.edges.partition_point(|(_, to)| *to < at);
    let from = drawing.edges.iter().skip(first);
    let from = from.take_while(|(_, to)| *to == at);
    let from = from.filter_map(|(from, _)| drawing.nodes.get(*from));
    let from: Vec<&str> = from.map(|node| node.id.as_str()).collect();
    match from.len() {
        0 => String::new(),
        count @ 1..=3 => {
            let all = from.join(", ");
            // Truncated names carry less information than their number.
            if all.width() <= 24 || count == 1 {
                format!("  ← {all}")
            } else {
                format!("  ← {count} steps: {all}")
            }
        }
        count => format!("  ← {count} steps: {}", from.join(", ")),
    }
}

fn backs(out: &mut String, drawing: &Drawing) {
    if !drawing.backs.is_empty() || !drawing.hooks.is_empty() {
        out.push('\n');
    }
    for back in &drawing.backs {
        let id = |at: usize| drawing.nodes.get(at).map_or("", |node| node.id.as_str());
        let (from, to) = (cut(id(back.from), 24), cut(id(back.to), 24));
        line(out, &format!("loop: {from} ⤴ {to}  {}", back.label()));
    }
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", cut(text, COLUMNS).trim_end());
}
