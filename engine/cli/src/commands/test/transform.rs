//! `plue test transform`: the values of a step computed for cases, without the steps before it.
//!
//! Nothing is recorded: programs run in an empty folder with a state of their own.

use std::collections::BTreeMap;

use plue_plan::{
    Plan, Step, Value,
    context::{Reader, visible},
};
use plue_planner::session;
use plue_spec::{EnvValue, Expression, Reads, Scope, resolve, resolve_env};
use serde_json::{Map, Value as Json, json};

use super::{
    TransformArgs,
    cases::{self, Case},
    program,
};
use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{
        SCHEMA_VERSION,
        texts::{TransformRecord, TransformsTested},
    },
    sources, wiring,
};

/// Fields of steps that hold values, except `env`.
const VALUES: [&str; 9] =
    ["name", "prompt", "message", "inputs", "plan", "url", "headers", "body", "config"];

/// The environment of a step, as texts.
type Variables = BTreeMap<String, String>;

pub(super) fn run(args: &TransformArgs, app: &App) -> Outcome {
    let cases = cases::read(&args.cases)?;
    let plans = wiring::block_on(plans(args, app))?;
    let (plan, step) = find(&plans, &args.step)?;
    let mut records = Vec::with_capacity(cases.len());
    for case in &cases {
        let problems = judge(plan, step, case)?;
        let passed = problems.is_empty();
        records.push(TransformRecord { case: case.name.clone(), passed, problems });
    }
    let failed = records.iter().filter(|record| !record.passed).count();
    let step = step.id.to_string();
    let document = TransformsTested {
        schema_version: SCHEMA_VERSION,
        step,
        passed: failed == 0,
        cases: records,
    };
    output::list(args.output, &document, &document.cases, String::new)?;
    if args.output == Format::Table {
        for record in document.cases.iter().filter(|record| !record.passed) {
            for problem in &record.problems {
                let problem = crate::terminal::sanitize(problem, false);
                output::report(&format!("case `{}`: {problem}", record.case));
            }
        }
        if app.verbosity >= 0 {
            let count = document.cases.len();
            output::report(&format!("{count} cases: {} passed, {failed} failed", count - failed));
        }
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::RunFailed })
}

async fn plans(args: &TransformArgs, app: &App) -> Result<Vec<Plan>, Failure> {
    let place = sources::select(app, args.source.repo.as_deref(), [args.workflow.as_str()])?;
    let session = sources::start(app, &place)?;
    let (files, context) = tokio::join!(
        session.files(&place.targets),
        session.context(sources::requested(app, &args.source))
    );
    let (files, context) = (files?, context?);
    let mut plans = Vec::new();
    for file in files {
        match session.plans(&file, &context).await {
            Ok(evaluated) => {
                let found = evaluated.workflows.iter().map(|one| one.hashed.plan.clone());
                plans.extend(found);
            }
            Err(error) => {
                return Err(Failure::invalid(session::diagnostics(error, &file, &session.repo)?));
            }
        }
    }
    Ok(plans)
}

/// The first step of this id, with its plan; hooks are steps too.
fn find<'p>(plans: &'p [Plan], id: &str) -> Result<(&'p Plan, &'p Step), Failure> {
    let steps = plans.iter().flat_map(|plan| {
        let all = plan.steps.iter().chain(plan.hooks.all());
        all.map(move |step| (plan, step))
    });
    let steps: Vec<_> = steps.collect();
    let found = steps.iter().find(|(_, step)| step.id.as_str() == id);
    found.copied().ok_or_else(|| {
        let ids: Vec<_> = steps.iter().map(|(_, step)| step.id.as_str()).collect();
        Failure::not_found(format!("the workflow has no step `{id}`"))
            .hint(format!("one of {}", ids.join(", ")))
    })
}

/// Differences from the expectations of the case.
fn judge(plan: &Plan, step: &Step, case: &Case) -> Result<Vec<String>, Failure> {
    let event = case.given.event()?;
    let inputs = inputs(plan, &case.given.inputs);
    let plain = plain_env(plan, step);
    let keys = visible(plan, Reader::Step(&step.id));
    let scope = case.given.scope().event(&event).inputs(&inputs).env(&plain).context(&keys);
    let mut problems = Vec::new();
    let (given, env) = match given(plan, step, &scope) {
        Ok(found) => found,
        Err(error) => return Ok(vec![error]),
    };
    for (key, expected) in &case.input {
        differences(key, expected, given.get(key), &mut problems);
    }
    if let Some(expected) = &case.output {
        match program::output(step, env)? {
            Ok(found) if found == *expected => {}
            Ok(found) => problems.push(format!("output is {found}, expected {expected}")),
            Err(error) => problems.push(format!("the step fails: {error}")),
        }
    }
    Ok(problems)
}

/// The inputs of the case over the defaults of the plan.
fn inputs(plan: &Plan, given: &Json) -> Json {
    let defaults = plan.inputs.iter();
    let defaults = defaults.map(|(name, input)| (name.clone(), json!(input.default)));
    let mut inputs: Map<String, Json> = defaults.collect();
    inputs.extend(given.as_object().cloned().unwrap_or_default());
    Json::Object(inputs)
}

/// The variables that expressions may read: those that are plain texts.
fn plain_env(plan: &Plan, step: &Step) -> Json {
    let all = plan.env.iter().chain(&step.options.env);
    let plain = all.filter(|(_, value)| value.0.is_string());
    Json::Object(plain.map(|(name, value)| (name.clone(), value.0.clone())).collect())
}

/// The inputs of the step by field, and its variables; an error names the value that cannot be computed.
fn given(
    plan: &Plan,
    step: &Step,
    scope: &Scope<'_>,
) -> Result<(Map<String, Json>, Variables), String> {
    let mut reads = Reads::default();
    let mut given = Map::new();
    if let Some(when) = &step.options.when {
        let truth = Expression::parse(when).map_err(|error| format!("`when`: {error}"));
        let truth = truth?.truth(scope, &mut reads).map_err(|error| format!("`when`: {error}"))?;
        given.insert("when".to_owned(), Json::Bool(truth));
    }
    let mut all = plan.env.clone();
    all.extend(step.options.env.clone());
    let found = resolve_env(&all, scope, &mut reads).map_err(|error| format!("`env`: {error}"))?;
    let env: Variables = found
        .into_iter()
        .map(|(name, value)| match value {
            EnvValue::Text(text) => (name, text),
            // A name is no secret, and a test has none.
            EnvValue::Secret(secret) => (name, format!("secret {secret}")),
        })
        .collect();
    given.insert("env".to_owned(), json!(env));
    let fields = serde_json::to_value(step).map_err(|error| error.to_string())?;
    for key in VALUES {
        let Some(field) = fields.get(key) else { continue };
        let found = resolve(&Value(field.clone()), scope, &mut reads);
        let found = found.map_err(|error| format!("`{key}`: {error}"))?;
        given.insert(key.to_owned(), found.value);
    }
    Ok((given, env))
}

/// Objects are compared by the keys that are expected, everything else as a whole. An expected value
/// that is no text is compared with what a text means as JSON: variables are texts.
fn differences(path: &str, expected: &Json, found: Option<&Json>, problems: &mut Vec<String>) {
    let Some(found) = found else {
        problems.push(format!("there is no {path}"));
        return;
    };
    if let (Json::Object(wanted), Json::Object(has)) = (expected, found) {
        for (key, expected) in wanted {
            differences(&format!("{path}.{key}"), expected, has.get(key), problems);
        }
        return;
    }
    let read = found.as_str().and_then(|text| serde_json::from_str::<Json>(text).ok());
    if found != expected && (expected.is_string() || read.as_ref() != Some(expected)) {
        problems.push(format!("{path} is {found}, expected {expected}"));
    }
}
