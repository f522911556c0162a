//! The outputs of an attempt that its runner uploads: artifacts, cache, pure result, checkpoint.
//!
//! Pure: computed from the plan and the state of the run. The runner does all that needs the workspace.

use plue_flow::Run;
use plue_plan::{Plan, Step, context::schema_of, policy::Cache, value::Node};
use plue_spec::{Reads, Scope, Template, resolve_text};
use plue_wire::outputs::{BlobHash, CacheSpec, OutputSpec, PureSpec};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::environment::AttemptEnv;

/// Prefix of the variables that plue sets.
const OWN_VARIABLES: &str = "PLUE_";

/// The outputs to upload of an attempt; `None`: nothing.
pub(crate) fn output_spec(
    (plan, step): (&Plan, &Step),
    run: &Run,
    env: &AttemptEnv,
    scope: &Scope<'_>,
    checkpoint: bool,
) -> Option<OutputSpec> {
    let options = &step.options;
    let spec = OutputSpec {
        artifacts: options.artifacts.paths.clone(),
        rules: options.artifacts.rules,
        cache: options.cache.as_ref().map(|cache| CacheSpec {
            // The runner reports an empty key as unusable.
            key: cache_key(cache, scope).unwrap_or_default(),
            restore: cache.restore.clone(),
            paths: cache.paths.clone(),
        }),
        pure: options.pure.then(|| PureSpec { base: pure_base((plan, step), run, env) }),
        checkpoint,
    };
    (spec != OutputSpec::default()).then_some(spec)
}

/// The key of a cache. A literal with `${…}` is a template in every workflow language.
fn cache_key(cache: &Cache, scope: &Scope<'_>) -> Result<String, String> {
    let scope = scope.clone().for_cache_key();
    let mut reads = Reads::default();
    match cache.key.node() {
        Node::Literal(Json::String(text)) if text.contains("${") => {
            let template = Template::parse(text).map_err(|error| error.to_string())?;
            template.render(&scope, &mut reads).map_err(|error| error.to_string())
        }
        Node::Literal(_)
        | Node::Expr(_)
        | Node::Template(_)
        | Node::Secret(_)
        | Node::Malformed(_) => {
            resolve_text(&cache.key, &scope, &mut reads).map_err(|error| error.to_string())
        }
    }
}

/// Hash of the inputs of a pure step besides the workspace: its action, the environment of step and plan,
/// the values of its secrets, and the outputs of its dependencies. Its id, name, retries and timeout, and
/// the variables of plue do not count.
fn pure_base((plan, step): (&Plan, &Step), run: &Run, env: &AttemptEnv) -> BlobHash {
    let plain: Vec<_> =
        env.plain.iter().filter(|(name, _)| !name.starts_with(OWN_VARIABLES)).collect();
    let secrets: Vec<_> = env
        .secrets
        .iter()
        .map(|(name, text)| (name, hex::encode(Sha256::digest(&text.0))))
        .collect();
    let outputs: Vec<_> = step
        .depends_on
        .iter()
        .filter_map(|id| run.step_view(id))
        .map(|view| json!([view.step, view.status.as_str(), view.output]))
        .collect();
    let options = &step.options;
    let mut inputs = json!({
        "version": 1,
        "action": step.action,
        "env": plain,
        "secrets": secrets,
        "upstream": outputs,
        "cwd": options.cwd,
        "runner": options.runner.as_ref().or(plan.runner.as_ref()),
        "image": options.image.as_ref().or(plan.image.as_ref()),
        "outputs": options.outputs,
        "artifacts": options.artifacts,
    });
    if let (Some(schema), Json::Object(inputs)) = (schema_of(plan, step), &mut inputs) {
        inputs.insert("writes".to_owned(), schema.clone());
    }
    // Literal arguments are part of the action.
    if let (false, Json::Object(inputs)) = (env.args.is_empty(), &mut inputs) {
        inputs.insert("args".to_owned(), json!(env.args));
    }
    if let (false, Json::Object(inputs)) = (options.services.is_empty(), &mut inputs) {
        inputs.insert("services".to_owned(), json!(options.services));
    }
    BlobHash(Sha256::digest(inputs.to_string()).into())
}

#[cfg(test)]
mod tests {
    use plue_plan::{Action, Value, action::Bash};
    use plue_wire::outputs::files_mark;

    use super::*;

    fn key(key: Value) -> Result<String, String> {
        let cache = Cache { key, paths: vec!["x".to_owned()], restore: Vec::new() };
        let event = json!({"branch": "main"});
        cache_key(&cache, &Scope::new().event(&event))
    }

    #[test]
    fn cache_keys_are_texts_templates_or_expressions() {
        assert_eq!(key(Value::text("npm")), Ok("npm".to_owned()));
        assert_eq!(key(Value::text("npm-${event.branch}")), Ok("npm-main".to_owned()));
        let mark = files_mark(&["a/*.lock", "b"]);
        let found = key(Value::text("x-${hash_files('a/*.lock', 'b')}"));
        assert_eq!(found, Ok(format!("x-{mark}")));
        assert!(key(Value::text("${nothing.there}")).is_err());
    }

    #[test]
    fn files_are_hashed_in_cache_keys_only() {
        let value = Value(json!({"$expr": "hash_files('a')"}));
        let error = resolve_text(&value, &Scope::new(), &mut Reads::default()).unwrap_err();
        assert!(error.to_string().contains("key of a cache only"), "{error}");
    }

    #[test]
    fn steps_without_outputs_have_no_spec() {
        let bash = Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() });
        let step = Step::new("a", bash);
        let plan = Plan::new("p", vec![step.clone()]);
        let run = Run::new(plue_plan::RunId::new("r"), std::sync::Arc::new(plan.clone()));
        let spec = |step: &Step, on| {
            output_spec((&plan, step), &run, &AttemptEnv::default(), &Scope::new(), on)
        };
        assert_eq!(spec(&step, false), None);
        assert!(spec(&step, true).is_some_and(|spec| spec.checkpoint));
        let mut pure = step.clone();
        pure.options.pure = true;
        let base = |step: &Step| spec(step, false).and_then(|spec| spec.pure).unwrap().base;
        let mut other = pure.clone();
        other.options.name = Some(Value::text("another name"));
        assert_eq!(base(&pure), base(&other));
        other.options.cwd = Some("sub".to_owned());
        assert_ne!(base(&pure), base(&other));
    }
}
