//! Triggers: `push`, `push: {branches: [main]}`, `{on: push, branches: [main]}`.

use std::collections::BTreeMap;

use plue_plan::{
    Trigger,
    plan::{Input, InputType},
    trigger::Misfire,
    validate::did_you_mean,
};

use crate::workflow::value::{check_spelling, lower_condition};
use crate::{
    codes,
    workflow::{
        fields::Fields,
        lower::Lower,
        problems::quoted,
        yaml::{Data, Key, Node},
    },
};

/// The kinds, and the field that a lone text is.
pub(super) const KINDS: [(&str, Option<&str>); 9] = [
    ("push", None),
    ("pull_request", None),
    ("issue", None),
    ("issue_comment", Some("contains")),
    ("schedule", Some("cron")),
    ("manual", None),
    ("webhook", Some("name")),
    ("event", Some("topic")),
    ("workflow", Some("name")),
];

const HINT: &str = "like `push: {branches: [main]}`";

pub(super) fn trigger(lower: &mut Lower<'_, '_>, node: &Node) -> Option<Trigger> {
    match &node.data {
        Data::Text(word) => {
            let kind = kind(lower, word, node)?;
            let nothing = Node { data: Data::Map(Vec::new()), place: node.place };
            of_kind(lower, kind, &nothing)
        }
        Data::Map(entries) if node.get("on").is_some() => with_on(lower, node, entries),
        Data::Map(entries) => match entries.as_slice() {
            [(key, body)] => {
                let at = Node { data: Data::Null, place: key.place };
                let kind = kind(lower, &key.text, &at)?;
                short(lower, kind, body)
            }
            _ => {
                let message = "a trigger is one word, or one word with its fields under it";
                lower.problems.push(codes::FIELD_TYPE, node.place, message, HINT);
                None
            }
        },
        Data::Null | Data::Bool(_) | Data::Number(..) | Data::List(_) => {
            let message = format!("a trigger is a word or a mapping, not {}", node.kind());
            lower.problems.push(codes::FIELD_TYPE, node.place, message, HINT);
            None
        }
    }
}

/// Reads the form `{on: push, …}`.
fn with_on(lower: &mut Lower<'_, '_>, node: &Node, entries: &[(Key, Node)]) -> Option<Trigger> {
    let on = node.get("on")?;
    let Some(word) = on.text() else {
        let message = format!("`on` of a trigger is a word, not {}", on.kind());
        lower.problems.push(codes::FIELD_TYPE, on.place, message, HINT);
        return None;
    };
    let kind = kind(lower, word, on)?;
    let rest = entries.iter().filter(|(key, _)| key.text != "on").cloned().collect();
    of_kind(lower, kind, &Node { data: Data::Map(rest), place: node.place })
}

/// `schedule: "0 3 * * *"`
fn short(lower: &mut Lower<'_, '_>, kind: usize, body: &Node) -> Option<Trigger> {
    let field = KINDS.get(kind).and_then(|(_, field)| *field);
    match (&body.data, field) {
        (Data::Null, _) => {
            of_kind(lower, kind, &Node { data: Data::Map(Vec::new()), place: body.place })
        }
        (Data::Text(_), Some(field)) => {
            let key = Key { text: field.to_owned(), place: body.place };
            let data = Data::Map(vec![(key, body.clone())]);
            of_kind(lower, kind, &Node { data, place: body.place })
        }
        _ => of_kind(lower, kind, body),
    }
}

/// The position in [`KINDS`]; `on_push` is `push`.
fn kind(lower: &mut Lower<'_, '_>, word: &str, node: &Node) -> Option<usize> {
    let short = word.strip_prefix("on_").unwrap_or(word);
    let found = KINDS.iter().position(|(kind, _)| *kind == short);
    if found.is_none() {
        let message = format!("there is no trigger {}", quoted(word));
        let kinds = || KINDS.iter().map(|(kind, _)| *kind);
        let hint = match did_you_mean(short, kinds()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", kinds().collect::<Vec<_>>().join(", ")),
        };
        lower.problems.push(codes::FIELD_VALUE, node.place, message, hint);
    }
    found
}

fn of_kind(lower: &mut Lower<'_, '_>, kind: usize, body: &Node) -> Option<Trigger> {
    let (word, _) = *KINDS.get(kind)?;
    let mut fields = lower.fields(body, &format!("trigger `{word}`"))?;
    let trigger = match word {
        "push" => Trigger::Push {
            branches: one_or_many(lower, &mut fields, ("branches", "branch")),
            tags: one_or_many(lower, &mut fields, ("tags", "tag")),
            paths: fields.texts("paths", &mut lower.problems),
            paths_ignore: fields.texts("paths_ignore", &mut lower.problems),
        },
        "pull_request" => Trigger::PullRequest {
            types: fields.texts("types", &mut lower.problems),
            branches: one_or_many(lower, &mut fields, ("branches", "branch")),
            paths: fields.texts("paths", &mut lower.problems),
        },
        "issue" => Trigger::Issue {
            types: fields.texts("types", &mut lower.problems),
            labels: fields.texts("labels", &mut lower.problems),
        },
        "issue_comment" => {
            Trigger::IssueComment { contains: fields.fixed("contains", &mut lower.problems) }
        }
        "manual" => Trigger::Manual { inputs: inputs(lower, &mut fields) },
        _ => return named(lower, word, fields),
    };
    fields.finish(&mut lower.problems);
    Some(trigger)
}

/// The kinds that cannot do without a name.
fn named(lower: &mut Lower<'_, '_>, word: &str, mut fields: Fields<'_>) -> Option<Trigger> {
    let key = match word {
        "schedule" => "cron",
        "event" => "topic",
        _ => "name",
    };
    let name = fields.fixed(key, &mut lower.problems);
    if name.is_none() {
        fields.missing(key, HINT, &mut lower.problems);
    }
    let given = name.is_some();
    let name = name.unwrap_or_default();
    let problems = &mut lower.problems;
    let trigger = match word {
        "schedule" => {
            let misfires = [
                ("run_once", Misfire::RunOnce),
                ("skip", Misfire::Skip),
                ("catch_up", Misfire::CatchUp),
            ];
            Trigger::Schedule {
                cron: name,
                tz: fields.fixed("tz", problems).unwrap_or_else(|| "UTC".to_owned()),
                misfire: fields.choice("misfire", &misfires, problems).unwrap_or_default(),
            }
        }
        "webhook" => Trigger::Webhook { name },
        "event" => {
            let when = fields.either(("when", "condition"), problems);
            let when = when.and_then(|field| lower_condition(lower, field.node));
            Trigger::Event { topic: name, when }
        }
        _ => Trigger::Workflow { name, outcome: fields.fixed("outcome", problems) },
    };
    fields.finish(&mut lower.problems);
    given.then_some(trigger)
}

/// `branches: [main]`, or `branch: main` for one.
fn one_or_many(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
    (many, one): (&'static str, &'static str),
) -> Vec<String> {
    let several = fields.texts(many, &mut lower.problems);
    let Some(field) = fields.take(one) else {
        return several;
    };
    if !several.is_empty() {
        let message = format!("{} has both `{many}` and `{one}`", fields.what);
        let hint = format!("write {many}: […] alone");
        lower.problems.push(codes::FIELD_VALUE, field.key, message, hint);
    }
    match &field.node.data {
        Data::List(_) => {
            let hint = Some(format!("write {many}: […]"));
            fields.wrong(field, "one pattern", hint, &mut lower.problems);
            several
        }
        _ => fields.text_of(field, &mut lower.problems).into_iter().collect(),
    }
}

/// `inputs: {name: {type: string, …}}`
pub(super) fn inputs(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
) -> BTreeMap<String, Input> {
    let Some(field) = fields.take("inputs") else {
        return BTreeMap::new();
    };
    let Some(entries) = field.node.entries() else {
        let hint = Some("like inputs: {where: {default: staging}}".to_owned());
        fields.wrong(field, "a mapping", hint, &mut lower.problems);
        return BTreeMap::new();
    };
    let inputs = entries
        .iter()
        .filter_map(|(key, node)| Some((key.text.clone(), input(lower, &key.text, node)?)));
    inputs.collect()
}

fn input(lower: &mut Lower<'_, '_>, name: &str, node: &Node) -> Option<Input> {
    if matches!(node.data, Data::Null) {
        return Some(Input::default());
    }
    let mut fields = lower.fields(node, &format!("input {}", quoted(name)))?;
    let types = [
        ("string", InputType::String),
        ("integer", InputType::Integer),
        ("number", InputType::Number),
        ("boolean", InputType::Boolean),
        ("list", InputType::List),
        ("object", InputType::Object),
    ];
    let kind = fields.choice("type", &types, &mut lower.problems).unwrap_or_default();
    let default = fields.take("default");
    if let Some(Data::Number(_, spelled)) = default.map(|field| &field.node.data) {
        check_spelling(lower, spelled, default.map_or(fields.place, |field| field.node.place));
    }
    let choices = fields
        .take("choices")
        .map_or(&[][..], |field| fields.items_of(field, "values", &mut lower.problems));
    let input = Input {
        kind,
        default: default.map(|field| field.node.json()),
        description: fields.text("description", &mut lower.problems),
        required: fields.flag("required", &mut lower.problems).unwrap_or(false),
        choices: choices.iter().map(Node::json).collect(),
    };
    fields.finish(&mut lower.problems);
    Some(input)
}
