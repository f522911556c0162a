//! A whole plan as a file: what `plue plan --output json` prints, in JSON or YAML.

use plue_plan::{Plan, StepId, validate::SourceMap};

use super::{Refused, Workflow, finish};
use crate::workflow::{
    problems::Problems,
    yaml::{Data, Format, Node, SourcePosition},
};

/// True if a file is a plan rather than a workflow: `"version": 1` and `steps`.
pub(super) fn is_plan(root: &Node) -> bool {
    let version = root.get("version").map(|version| &version.data);
    let one = matches!(version, Some(Data::Number(_, spelled)) if spelled == "1");
    one && root.get("steps").is_some() && root.get("tasks").is_none()
}

pub(super) fn read(
    file: &str,
    source: &str,
    format: Format,
    root: &Node,
    mut problems: Problems<'_>,
) -> Result<Workflow, Refused> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let parsed = match format {
        Format::Json => Plan::from_json(source.as_bytes()),
        Format::Yaml => Plan::from_json(root.json().to_string().as_bytes()),
    };
    let places = places(root, file);
    let plan = match parsed {
        Ok(plan) => plan,
        Err(mut problem) => {
            problem.span = match format {
                Format::Json => place_in(&problem.message).map(|place| place.span(file)),
                Format::Yaml => None,
            };
            let step = named_step(&problem.message, &places);
            problem.span = step.or(problem.span).or_else(|| places.plan.clone());
            problem.message = without_place(&problem.message).to_owned();
            problems.add(problem);
            return Err(problems.finish().into());
        }
    };
    finish(plan, places, problems, root)
}

fn places(root: &Node, file: &str) -> SourceMap {
    let mut places = SourceMap { plan: Some(root.place.span(file)), ..SourceMap::default() };
    if let Some(name) = root.get("name") {
        places.plan = Some(name.place.span(file));
    }
    let hooks = root.get("hooks").and_then(Node::entries).unwrap_or_default();
    let lists = root.get("steps").into_iter().chain(hooks.iter().map(|(_, list)| list));
    for step in lists.flat_map(|list| list.items().unwrap_or_default()) {
        if let Some(id) = step.get("id")
            && let Some(text) = id.text()
        {
            places.steps.entry(StepId::new(text)).or_default().push(id.place.span(file));
        }
    }
    let triggers = root.get("triggers").and_then(Node::items).unwrap_or_default();
    places.triggers = triggers.iter().map(|node| node.place.span(file)).enumerate().collect();
    places
}

/// `… at line 3 column 7`
fn place_in(message: &str) -> Option<SourcePosition> {
    let (_, place) = message.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    Some(SourcePosition::point(line.parse().ok()?, column.parse().ok()?))
}

fn without_place(message: &str) -> &str {
    match (place_in(message), message.rsplit_once(" at line ")) {
        (Some(_), Some((front, _))) => front,
        _ => message,
    }
}

/// The parts of a step know no place, so the message names it: `step "build": …`.
fn named_step(message: &str, places: &SourceMap) -> Option<plue_plan::Span> {
    let (_, rest) = message.split_once("step \"")?;
    let (id, _) = rest.split_once('"')?;
    places.steps.get(id)?.first().cloned()
}
