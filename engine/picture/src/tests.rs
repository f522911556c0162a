//! Golden pictures, and names that try to break out of each format.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{
    dot, mermaid,
    placed::{Placed, placed},
    svg, text,
};
use plue_plan::Plan;

fn plan(steps: &Json) -> Plan {
    let json = json!({"version": 1, "name": "CI Pipeline", "steps": steps,
        "triggers": [{"on": "push", "branches": ["main"]}, {"on": "pull_request"}]});
    Plan::from_json(json.to_string().as_bytes()).unwrap()
}

fn step(id: &str, kind: &str, needs: &[&str]) -> Json {
    let key = if kind == "llm" { "prompt" } else { "run" };
    json!({"id": id, "kind": kind, key: "x", "depends_on": needs})
}

fn seed() -> Plan {
    plan(&json!([
        step("test", "bash", &[]),
        step("build", "bash", &["test"]),
        step("review", "llm", &["test"]),
    ]))
}

fn looping() -> Plan {
    let mut fix = step("fix", "llm", &["test"]);
    fix["on_success"] = json!({"goto": "test", "max_visits": 3});
    let mut plan = plan(&json!([step("test", "bash", &[]), fix]));
    plan.hooks.on_complete = seed().steps;
    plan.hooks.on_complete.truncate(1);
    plan
}

#[test]
fn the_seed_as_text() {
    insta::assert_snapshot!(text(&seed()));
}

#[test]
fn a_loop_as_text_and_mermaid() {
    insta::assert_snapshot!(text(&looping()) + &mermaid(&looping()));
}

#[test]
fn the_seed_as_dot() {
    insta::assert_snapshot!(dot(&seed()));
}

#[test]
fn the_seed_as_svg() {
    insta::assert_snapshot!(svg(&seed()));
}

/// Names that mean something in one of the formats.
const HOSTILE: [&str; 10] = [
    "\"]; rm -rf",
    "</text><script>alert(1)</script>",
    "-->",
    "a\\",
    "a\nb\u{1b}[31m",
    "x' onload='alert(1)",
    "%%{init: {'theme':'x'}}%%",
    "&lt;&#60;",
    "]]><![CDATA[",
    "\u{ffff}\u{202e}\u{0}",
];

fn hostile() -> Plan {
    let mut plan = looping();
    let names = HOSTILE.iter().map(|name| (*name).to_owned());
    for (at, name) in names.enumerate() {
        let mut step = plan.steps[0].clone();
        step.id = plue_plan::StepId::new(format!("{name}{at}"));
        step.options.name = Some(plue_plan::Value::text(name.clone()));
        plan.hooks.on_start.push(step.clone());
        plan.steps.push(step);
    }
    plan.name = HOSTILE.concat();
    plan
}

#[test]
fn no_name_breaks_out_of_mermaid() {
    let picture = mermaid(&hostile());
    let bare = |line: &str| line.split('"').step_by(2).collect::<String>();
    for line in picture.lines().filter(|line| !line.contains("accTitle")) {
        assert!(line.matches('"').count() % 2 == 0 && !line.contains('%'), "{line}");
        assert!(!line.contains("<script") && !bare(line).contains("rm -rf"), "{line}");
    }
    // One line each: head, title, description, steps, edge, way back, two lists of hooks, classes.
    assert_eq!(picture.lines().count(), 3 + 12 + 1 + 1 + 12 + 3 + 9);
}

#[test]
fn no_name_breaks_out_of_dot() {
    let picture = dot(&hostile());
    for line in picture.lines() {
        let mut open = false;
        let mut escaped = false;
        for c in line.chars() {
            assert!(open || !matches!(c, '<' | '>' | '\\') || c == '>', "{line}");
            open ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
        }
        assert!(!open, "{line}");
    }
    assert_eq!(picture.lines().count(), 4 + 12 + 1 + 1 + 13 + 4 + 1);
}

#[test]
fn no_name_breaks_out_of_svg() {
    let picture = svg(&hostile());
    for word in ["<script", "onload='", "]]>", "<!", "\u{1b}", "\u{ffff}", "\u{202e}"] {
        assert!(!picture.contains(word), "{word:?}");
    }
    well_formed(&picture);
}

#[test]
fn text_fits_80_columns_without_terminal_codes() {
    let picture = text(&hostile());
    for line in picture.lines() {
        use unicode_width::UnicodeWidthStr as _;
        assert!(line.width() <= 80, "{line}");
        assert!(!line.chars().any(plue_plan::shown::is_forbidden), "{line:?}");
    }
}

/// A small reader of the XML that `svg` writes: tags nest, attributes are quoted.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    for part in xml.split('<').skip(1) {
        let (tag, content) = part.split_once('>').expect("every tag is closed");
        assert!(!content.contains('"') || open.last() == Some(&"style"), "{content}");
        assert!(tag.matches('"').count() % 2 == 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap_or_default());
        }
    }
    assert!(open.is_empty());
}

/// Random plans of `bash` and `llm` steps that depend on earlier ones, with names, ways back and hooks.
fn plans(max_steps: usize) -> impl Strategy<Value = Plan> {
    let drawn = (any::<bool>(), any::<Option<String>>(), any::<Option<prop::sample::Index>>());
    let needs = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let steps = prop::collection::vec((drawn, needs), 1..=max_steps);
    (steps, 0_usize..3).prop_map(|(steps, hooks)| {
        let (mut shown, mut names) = (Vec::new(), Vec::new());
        for (at, ((is_llm, name, back), needs)) in steps.into_iter().enumerate() {
            let id = |index: &prop::sample::Index| format!("s{}", index.index(at.max(1)));
            let needs: BTreeSet<String> = needs.iter().filter(|_| at > 0).map(id).collect();
            let mut step = step(&format!("s{at}"), if is_llm { "llm" } else { "bash" }, &[]);
            step["depends_on"] = json!(needs);
            if let Some(back) = back {
                step["on_failure"] = json!({"goto": id(&back), "max_visits": 2});
            }
            names.push(name);
            shown.push(step);
        }
        let mut plan = plan(&json!(shown));
        for (step, name) in plan.steps.iter_mut().zip(names) {
            step.options.name = name.map(plue_plan::Value::text);
        }
        plan.hooks.on_complete = plan.steps.iter().take(hooks).cloned().collect();
        plan
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_plan_has_every_picture(plan in plans(20)) {
        well_formed(&svg(&plan));
        prop_assert_eq!(svg(&plan).matches("<g>").count(), plan.steps.len());
        prop_assert!(text(&plan).lines().count() >= plan.steps.len());
        let dot = dot(&plan);
        prop_assert_eq!(dot.lines().last(), Some("}"));
        prop_assert!(mermaid(&plan).starts_with("flowchart TD\n"));
    }
}

#[test]
fn every_picture_shows_step_ids_next_to_names() {
    let mut plan = seed();
    plan.steps[0].options.name = Some(plue_plan::Value::text("Run the tests"));
    let text = text(&plan);
    assert!(text.contains("   1  test    bash       \"Run the tests\"\n"), "{text}");
    assert!(text.contains("build   bash       ← test\n"), "{text}");
    assert!(mermaid(&plan).contains("\"Run the tests<br/>test, bash\""));
    assert!(dot(&plan).contains("\"Run the tests\\ntest, bash\""));
}

#[test]
fn a_cycle_is_drawn_too() {
    let plan = plan(&json!([step("a", "bash", &["b"]), step("b", "bash", &["a"])]));
    well_formed(&svg(&plan));
    assert!(text(&plan).contains("← b"));
}

fn matrix(rows: usize) -> Plan {
    let mut steps = vec![step("setup", "bash", &[])];
    for row in 0..rows {
        let build = format!("build-{row}");
        steps.push(step(&build, "bash", &["setup"]));
        steps.push(step(&format!("test-{row}"), "bash", &[&build]));
    }
    for other in ["lint", "docs", "audit", "types", "style"] {
        steps.push(step(other, "bash", &["setup"]));
    }
    plan(&json!(steps))
}

fn titles(placed: &Placed) -> Vec<&str> {
    placed.nodes.iter().map(|node| node.title.as_str()).collect()
}

#[test]
fn rows_of_a_matrix_fold_together() {
    let placed = placed(&matrix(12), &BTreeSet::new());
    let wanted = ["setup", "build × 12", "test × 12", "lint", "docs", "audit", "types", "style"];
    assert_eq!(titles(&placed), wanted);
    let edges: Vec<_> = placed.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    assert!(edges.contains(&(0, 1)) && edges.contains(&(1, 2)) && edges.len() == 7, "{edges:?}");
    assert_eq!(placed.nodes[1].members.len(), 12);
}

#[test]
fn groups_open_at_a_member() {
    let placed = placed(&matrix(12), &BTreeSet::from(["test-3"]));
    assert_eq!(placed.nodes.len(), 1 + 1 + 12 + 5);
    assert!(titles(&placed).contains(&"build × 12") && titles(&placed).contains(&"test-11"));
}

#[test]
fn rows_that_differ_stay_alone() {
    // One row goes on to another step.
    let mut steps: Vec<Json> =
        (0..6).map(|row| step(&format!("build-{row}"), "bash", &[])).collect();
    steps.push(step("publish", "bash", &["build-0"]));
    let placed = placed(&plan(&json!(steps)), &BTreeSet::new());
    assert_eq!(titles(&placed), ["build-0", "build × 5", "publish"]);
    // Steps of a loop are never folded.
    let looping = placed_of_loop();
    assert_eq!((looping.nodes.len(), looping.loops.len()), (2, 1));
    assert_eq!(looping.loops[0].label, "ok ≤3×");
}

fn placed_of_loop() -> Placed {
    placed(&looping(), &BTreeSet::new())
}

#[test]
fn nodes_do_not_overlap() {
    let placed = placed(&matrix(3), &BTreeSet::new());
    let (width, height) = placed.node;
    for (at, one) in placed.nodes.iter().enumerate() {
        assert!(one.at.0 + width <= placed.size.0 && one.at.1 + height <= placed.size.1);
        for other in &placed.nodes[at + 1..] {
            let is_free =
                (one.at.0 - other.at.0).abs() >= width || (one.at.1 - other.at.1).abs() >= height;
            assert!(is_free, "{} {}", one.title, other.title);
        }
    }
}
