//! Options of tasks of any kind, under the names of the Python front end and those of YAML.

use plue_plan::{
    DurationText, StepId, Value,
    artifacts::{ArtifactRules, Artifacts, LostArtifacts, MissingArtifacts},
    codes as plan_codes,
    policy::{Backoff, Budget, Cache, Goto, OnFailure, Retry, Service},
    step::StepOptions,
    value::Node as PlanNode,
};

use crate::workflow::plan::checkout;
use crate::workflow::secrets::secret_entries;
use crate::workflow::value::{lower_condition, value};
use crate::{
    codes,
    template::text_of,
    workflow::{
        fields::{Field, Fields},
        lower::Lower,
        problems::quoted,
        rewrite::{Written, rewrite},
        yaml::{Data, Node},
    },
};

/// Reads `dependencies` or `depends_on`.
pub(super) fn dependencies(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Vec<StepId> {
    let field = fields.either(("dependencies", "depends_on"), &mut lower.problems);
    let Some(field) = field else { return Vec::new() };
    let items = fields.items_of(field, "ids of tasks", &mut lower.problems);
    let what = format!("a dependency of {}", fields.what);
    let ids = items
        .iter()
        .filter_map(|item| super::fields::plain(item, &what, &mut lower.problems).map(StepId::new));
    ids.collect()
}

pub(super) fn options(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> StepOptions {
    let condition = fields.either(("condition", "when"), &mut lower.problems);
    let (on_failure, retry_on_failure) = on_failure(lower, fields);
    let retry = fields.take("retry").and_then(|field| retry(lower, field, &fields.what.clone()));
    StepOptions {
        name: name(lower, fields),
        when: condition.and_then(|field| lower_condition(lower, field.node)),
        env: lower.values_field(fields, "env"),
        secrets: secrets(lower, fields),
        timeout: fields.duration("timeout", &mut lower.problems),
        retry: retry.or_else(|| retry_on_failure.then(Retry::default)),
        on_failure,
        on_success: fields
            .take("on_success")
            .and_then(|field| goto(lower, field.node, "`on_success`")),
        runner: fields.fixed("runner", &mut lower.problems),
        image: fields.fixed("image", &mut lower.problems),
        resources: resources(lower, fields),
        cwd: fields.fixed("cwd", &mut lower.problems),
        outputs: fields.json("outputs"),
        writes: fields.fixed("writes", &mut lower.problems),
        artifacts: artifacts(lower, fields),
        cache: fields.take("cache").and_then(|field| cache(lower, field.node)),
        checkout: checkout(lower, fields),
        services: services(lower, fields),
        pure: fields.flag("pure", &mut lower.problems).unwrap_or(false),
        interactive: fields.flag("interactive", &mut lower.problems).unwrap_or(false),
        required: fields.flag("required", &mut lower.problems).unwrap_or(false),
    }
}

/// The name that is shown. A constant that is no text is shown as one.
fn name(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Option<Value> {
    let field = fields.take("name")?;
    let written = fields.text_of(field, &mut lower.problems)?;
    let name = value(lower, field.node);
    match name.node() {
        PlanNode::Literal(constant) => {
            let text = text_of(constant);
            // Nothing is left of a text with an expression that was refused.
            let is_left = written.is_empty() || !text.is_empty();
            is_left.then(|| Value::text(text))
        }
        PlanNode::Expr(_)
        | PlanNode::Template(_)
        | PlanNode::Secret(_)
        | PlanNode::Malformed(_) => Some(name),
    }
}

/// Rule for a failure, and true if it is retried first, which `retry` as a rule implies.
fn on_failure(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> (OnFailure, bool) {
    let Some(field) = fields.take("on_failure") else {
        return (OnFailure::Fail, false);
    };
    if let Data::Map(_) = field.node.data {
        let goto = goto(lower, field.node, "`on_failure`");
        return (goto.map_or(OnFailure::Fail, OnFailure::Goto), false);
    }
    let choices = [("fail", 0_u8), ("retry", 1), ("skip", 2), ("continue", 3)];
    match fields.choice_of(field, &choices, &mut lower.problems) {
        Some(1) => (OnFailure::Fail, true),
        Some(2) => (OnFailure::Skip, false),
        Some(3) => (OnFailure::Continue, false),
        Some(_) | None => (OnFailure::Fail, false),
    }
}

/// `{goto: id, max_visits: 3}`
fn goto(lower: &mut Lower<'_, '_>, node: &Node, what: &str) -> Option<Goto> {
    let mut fields = lower.fields(node, what)?;
    let goto = fields.text("goto", &mut lower.problems);
    let max_visits = fields.count("max_visits", &mut lower.problems);
    if goto.is_none() {
        fields.missing("goto", "write {goto: id, max_visits: 3}", &mut lower.problems);
    }
    fields.finish(&mut lower.problems);
    Some(Goto { goto: StepId::new(goto?), max_visits })
}

fn retry(lower: &mut Lower<'_, '_>, field: Field<'_>, what: &str) -> Option<Retry> {
    if let Data::Number(_, spelled) = &field.node.data {
        let message = format!("`retry` of {what} is a mapping, not the number {spelled}");
        let hint = format!("write retry: {{max_attempts: {spelled}}}");
        lower.problems.push(codes::FIELD_TYPE, field.node.place, message, hint);
        return None;
    }
    let mut fields = lower.fields(field.node, &format!("`retry` of {what}"))?;
    let (problems, default) = (&mut lower.problems, Retry::default());
    let backoffs = [("fixed", Backoff::Fixed), ("exponential", Backoff::Exponential)];
    let retry = Retry {
        max_attempts: fields.count("max_attempts", problems).unwrap_or(default.max_attempts),
        delay: DurationText::unless(fields.duration("delay", problems), default.delay.as_str())
            .unwrap_or(default.delay),
        backoff: fields.choice("backoff", &backoffs, problems).unwrap_or_default(),
        max_delay: fields.duration("max_delay", problems),
        jitter: fields.number("jitter", problems),
        on: fields.texts("on", problems),
    };
    fields.finish(problems);
    Some(retry)
}

/// Names of secrets, also as `context.secrets` calls them.
fn secrets(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Vec<String> {
    let Some(field) = fields.take("secrets") else {
        return Vec::new();
    };
    if field.node.entries().is_some() {
        return secret_entries(lower, field);
    }
    let items = fields.items_of(field, "names of secrets", &mut lower.problems);
    let what = format!("a secret of {}", fields.what);
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = super::fields::plain(item, &what, &mut lower.problems) else {
            continue;
        };
        let inner = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
        names.push(match inner.map(|inner| rewrite(inner, &lower.names)) {
            Some(Ok(Written::Secret(name))) => name,
            Some(_) => {
                let message = format!("{} is no secret", quoted(&text));
                let hint = "write its name, like NPM_TOKEN";
                lower.problems.push(plan_codes::BAD_SECRET_NAME, item.place, message, hint);
                continue;
            }
            None => lower.names.secrets.get(&text).cloned().unwrap_or(text),
        });
    }
    names
}

fn resources(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
) -> std::collections::BTreeMap<String, serde_json::Value> {
    let Some(field) = fields.take("resources") else {
        return std::collections::BTreeMap::new();
    };
    let Some(entries) = field.node.entries() else {
        let hint = Some("like {cpu: 2, memory: 4Gi}".to_owned());
        fields.wrong(field, "a mapping", hint, &mut lower.problems);
        return std::collections::BTreeMap::new();
    };
    entries.iter().map(|(key, node)| (key.text.clone(), node.json())).collect()
}

/// A list of globs, or `{paths: […], missing: warn, lost: fail}`.
fn artifacts(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Artifacts {
    let Some(field) = fields.take("artifacts") else { return Artifacts::default() };
    if field.node.entries().is_none() {
        return fields.texts_of(field, &mut lower.problems).into();
    }
    let what = format!("`artifacts` of {}", fields.what);
    let Some(mut fields) = lower.fields(field.node, &what) else { return Artifacts::default() };
    let missing = [
        ("warn", MissingArtifacts::Warn),
        ("fail", MissingArtifacts::Fail),
        ("ignore", MissingArtifacts::Ignore),
    ];
    let lost = [("fail", LostArtifacts::Fail), ("warn", LostArtifacts::Warn)];
    let problems = &mut lower.problems;
    let artifacts = Artifacts {
        paths: fields.texts("paths", problems),
        rules: ArtifactRules {
            missing: fields.choice("missing", &missing, problems).unwrap_or_default(),
            lost: fields.choice("lost", &lost, problems).unwrap_or_default(),
        },
    };
    if artifacts.paths.is_empty() {
        fields.missing("paths", "like paths: [dist/**]", problems);
    }
    fields.finish(problems);
    artifacts
}

fn cache(lower: &mut Lower<'_, '_>, node: &Node) -> Option<Cache> {
    let mut fields = lower.fields(node, "`cache`")?;
    let key = lower.text_value_field(&mut fields, "key");
    if key.is_none() {
        fields.missing("key", "like key: deps-v1", &mut lower.problems);
    }
    let paths = fields.texts("paths", &mut lower.problems);
    let restore = fields.texts("restore", &mut lower.problems);
    fields.finish(&mut lower.problems);
    Some(Cache { key: key?, paths, restore })
}

fn services(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Vec<Service> {
    let Some(field) = fields.take("services") else {
        return Vec::new();
    };
    let items = fields.items_of(field, "services", &mut lower.problems);
    items.iter().filter_map(|item| service(lower, item)).collect()
}

fn service(lower: &mut Lower<'_, '_>, node: &Node) -> Option<Service> {
    let mut fields = lower.fields(node, "a service")?;
    let image = fields.fixed("image", &mut lower.problems);
    let port = fields.count("port", &mut lower.problems);
    let env = lower.values_field(&mut fields, "env");
    for (name, given) in [("image", image.is_some()), ("port", port.is_some())] {
        if !given {
            fields.missing(name, "like {image: postgres:16, port: 5432}", &mut lower.problems);
        }
    }
    let port = port.map(u16::try_from);
    if let Some(Err(_)) = port {
        let message = "the port of a service is at most 65535";
        lower.problems.error(codes::FIELD_VALUE, fields.place, message);
    }
    fields.finish(&mut lower.problems);
    Some(Service { image: image?, port: port?.ok()?, env })
}

pub(super) fn budget(lower: &mut Lower<'_, '_>, field: Option<Field<'_>>) -> Option<Budget> {
    let mut fields = lower.fields(field?.node, "`budget`")?;
    let usd = fields.number("usd", &mut lower.problems);
    let tokens = fields.whole("tokens", &mut lower.problems);
    fields.finish(&mut lower.problems);
    Some(Budget { usd, tokens })
}

/// Removes a timeout equal to the default, which is not written into a plan.
pub(super) fn without_default(timeout: Option<DurationText>) -> Option<DurationText> {
    DurationText::unless(timeout, plue_plan::plan::DEFAULT_TIMEOUT)
}
