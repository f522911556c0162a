//! `forge` steps: the fields that the plan sets, before a model has proposed anything.
//!
//! Must not judge proposals: the engine does when the step runs.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::{
    codes,
    validate::report::{Quoted, Report, Site},
    value::{Node, Value},
};

/// The plugin that is built into plue.
pub(super) const FORGE: &str = "forge";
/// Fields of a step.
const FIELDS: [&str; 9] = [
    "comment",
    "title",
    "max_findings",
    "labels",
    "allowed_labels",
    "patch",
    "paths",
    "branch",
    "pull_request",
];
/// Findings that a comment shows at most.
const MAX_FINDINGS: u64 = 50;

pub(super) fn forge(report: &mut Report, site: Site<'_>, config: &BTreeMap<String, Value>) {
    let mut wrong = |what: std::fmt::Arguments<'_>, hint: &str| {
        report.push(site.error(codes::BAD_FORGE, what).hint(hint.to_owned()));
    };
    let has = |field: &str| config.contains_key(field);
    for field in config.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
        let fields = format!("a `forge` step has {}", FIELDS.join(", "));
        wrong(format_args!("{} is no field of a `forge` step", Quoted(field)), &fields);
    }
    if !["comment", "labels", "patch"].into_iter().any(has) {
        let hint = "write at least one of them: it is what the step applies";
        wrong(format_args!("it has neither `comment` nor `labels` nor `patch`"), hint);
    }
    for (field, other) in [
        ("title", "comment"),
        ("max_findings", "comment"),
        ("allowed_labels", "labels"),
        ("paths", "patch"),
        ("branch", "patch"),
        ("pull_request", "patch"),
    ] {
        if has(field) && !has(other) {
            let hint = format!("add `{other}`, or leave `{field}` out");
            wrong(format_args!("`{field}` needs `{other}`"), &hint);
        }
    }
    for (field, needed, hint) in [
        ("patch", "paths", "name the files that it may change: paths=[\"docs/**\"]"),
        ("labels", "allowed_labels", "list the labels that a model may set"),
    ] {
        if has(field) && !has(needed) {
            wrong(format_args!("`{field}` needs `{needed}`"), hint);
        }
    }
    for (field, value) in config {
        let Some((what, fits)) = constant(field) else { continue };
        if !value.is_constant() {
            let hint = "write it out: it bounds what a model may do";
            wrong(format_args!("`{field}` is an expression, and must stand in the plan"), hint);
        } else if !matches!(value.node(), Node::Literal(json) if fits(json)) {
            wrong(format_args!("`{field}` is not {what}"), "see docs/reference/claude-steps.md");
        }
    }
    for field in ["comment", "labels", "patch", "pull_request"] {
        let mut secret = None;
        if let Some(value) = config.get(field) {
            value.visit(&mut |node| {
                if let Node::Secret(name) = node {
                    secret = Some(name.to_owned());
                }
            });
        }
        if let Some(name) = secret {
            let hint = "what is written to a forge may be public";
            wrong(format_args!("`{field}` holds the secret {}", Quoted(&name)), hint);
        }
    }
}

type Fits = fn(&Json) -> bool;

/// The form of a field that only the plan sets.
fn constant(field: &str) -> Option<(&'static str, Fits)> {
    let texts: Fits = |json| {
        json.as_array().is_some_and(|all| {
            !all.is_empty() && all.iter().all(|one| one.as_str().is_some_and(|it| !it.is_empty()))
        })
    };
    let text: Fits = |json| json.as_str().is_some_and(|text| !text.trim().is_empty());
    let findings: Fits = |json| json.as_u64().is_some_and(|it| (1..=MAX_FINDINGS).contains(&it));
    match field {
        "title" | "branch" => Some(("a text", text)),
        "max_findings" => Some(("a number from 1 to 50", findings)),
        "allowed_labels" | "paths" => Some(("a list of texts", texts)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        plan::Plan,
        validate::{SourceMap, validate},
    };

    fn problems(config: &str) -> Vec<String> {
        let text = format!(
            r#"{{"version":1,"name":"x","steps":[
                {{"id":"ask","kind":"bash","run":"x"}},
                {{"id":"post","kind":"plugin","plugin":"forge","config":{{{config}}},"depends_on":["ask"]}}]}}"#
        );
        let plan = Plan::from_json(text.as_bytes()).unwrap();
        let found = validate(&plan, &SourceMap::default()).into_iter();
        let found = found.filter(|one| one.code == crate::codes::BAD_FORGE);
        found.map(|one| one.message).collect()
    }

    #[test]
    fn forge_steps_as_documented_are_accepted() {
        for config in [
            r#""comment":{"$expr":"steps.ask.output"},"title":"Review","max_findings":50"#,
            r#""labels":{"add":["bug"]},"allowed_labels":["bug"]"#,
            r#""patch":{"$expr":"steps.ask.output"},"paths":["docs/**"],"branch":"x","pull_request":{"title":"T"}"#,
        ] {
            assert_eq!(problems(config), [""; 0], "{config}");
        }
    }

    #[test]
    fn fields_that_do_not_fit_are_named() {
        for (config, words) in [
            ("", "neither `comment` nor `labels` nor `patch`"),
            (r#""comment":"x","comments":"x""#, "is no field of a `forge` step"),
            (r#""comment":"x","paths":["a"]"#, "`paths` needs `patch`"),
            (r#""patch":"x""#, "`patch` needs `paths`"),
            (r#""labels":{}"#, "`labels` needs `allowed_labels`"),
            (r#""comment":"x","max_findings":51"#, "`max_findings` is not a number from 1 to 50"),
            (r#""comment":"x","title":{"$expr":"steps.ask.output"}"#, "`title` is an expression"),
            (r#""patch":"x","paths":[]"#, "`paths` is not a list of texts"),
            (r#""comment":{"$secret":"TOKEN"}"#, "`comment` holds the secret"),
        ] {
            let found = problems(config);
            assert!(found.iter().any(|one| one.contains(words)), "{config}: {found:?}");
        }
    }
}
