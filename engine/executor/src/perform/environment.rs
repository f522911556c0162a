//! The environment of an attempt: variables of plue, of the plan and of the step, and the step's secrets.
//!
//! Secrets are in a field of their own, so that the runner masks them and nothing here logs them.

use std::collections::BTreeMap;

use plue_plan::{Action, Event, RunId, Step, validate::is_reserved};
use plue_spec::{EnvValue, Reads, Scope, resolve, resolve_env};
use plue_wire::{
    eval::Bytes,
    runner::{McpServer, Service},
};
use serde_json::Value as Json;

use super::scope::AttemptNumber;

/// Bytes of one argument of a Python step, as JSON: a little less than Linux passes to a process.
const MAX_ARGUMENT_BYTES: usize = 120 * 1024;

/// Source of the values of secrets.
pub trait SecretSource: Send + Sync + std::fmt::Debug {
    /// The value of a secret; `None` if there is none of this name.
    fn secret(&self, name: &str) -> Option<Vec<u8>>;

    /// The values of all secrets of the run. Every step masks all of them: an earlier step may have left
    /// one in the workspace.
    fn all(&self) -> Vec<Vec<u8>>;
}

/// Secrets of one run, by name, as this process received them.
#[derive(Default, Clone)]
pub struct GivenSecrets(pub BTreeMap<String, Vec<u8>>);

/// The environment of one attempt.
#[derive(Default)]
pub(crate) struct AttemptEnv {
    pub(crate) plain: Vec<(String, String)>,
    pub(crate) secrets: Vec<(String, Bytes)>,
    /// Services of the step, each with an environment of its own.
    pub(crate) services: Vec<Service>,
    /// MCP servers of a Claude step that are processes on the runner.
    pub(crate) mcp: Vec<McpServer>,
    /// Evaluated arguments of a Python step.
    pub(crate) args: Vec<Json>,
}

/// An attempt, as its environment describes it.
pub(crate) struct AttemptContext<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a Step,
    pub(crate) at: AttemptNumber,
    /// The span of the attempt; none without traces.
    pub(crate) traceparent: Option<String>,
}

// === impl GivenSecrets ===

impl SecretSource for GivenSecrets {
    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).cloned()
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.values().cloned().collect()
    }
}

/// Names only: values never reach a log.
impl std::fmt::Debug for GivenSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Builds the environment of an attempt.
///
/// # Errors
/// A text for the author: an expression without a value, or a missing secret.
pub(crate) fn environment(
    attempt: &AttemptContext<'_>,
    event: &Event,
    plan_env: &BTreeMap<String, plue_plan::Value>,
    scope: &Scope<'_>,
    secrets: &dyn SecretSource,
) -> Result<AttemptEnv, String> {
    let mut variables: BTreeMap<String, EnvValue> = BTreeMap::new();
    let mut reads = Reads::default();
    for (whose, env) in [("the plan's env", plan_env), ("env", &attempt.step.options.env)] {
        let resolved =
            resolve_env(env, scope, &mut reads).map_err(|error| format!("{whose}: {error}"))?;
        variables.extend(resolved);
    }
    for name in &attempt.step.options.secrets {
        variables.insert(name.clone(), EnvValue::Secret(name.clone()));
    }
    for (name, text) in standard(attempt, event) {
        let text = EnvValue::Text(text);
        if is_reserved(name) {
            variables.insert(name.to_owned(), text);
        } else {
            variables.entry(name.to_owned()).or_insert(text);
        }
    }
    let mut env =
        AttemptEnv { args: arguments(attempt.step, scope, &mut reads)?, ..Default::default() };
    (env.plain, env.secrets) = split_secrets(variables, secrets)?;
    for service in &attempt.step.options.services {
        let resolved = resolve_env(&service.env, scope, &mut reads)
            .map_err(|error| format!("services.env: {error}"))?;
        let (plain, hidden) = split_secrets(resolved.into_iter().collect(), secrets)?;
        env.services.push(Service {
            run: service.image.clone(),
            port: service.port,
            env: plain,
            secrets: hidden,
        });
    }
    env.mcp = servers(attempt.step, scope, &mut reads, secrets)?;
    Ok(env)
}

/// The MCP servers that are processes, with their environments.
fn servers(
    step: &Step,
    scope: &Scope<'_>,
    reads: &mut Reads,
    secrets: &dyn SecretSource,
) -> Result<Vec<McpServer>, String> {
    let Action::Llm(llm) = &step.action else { return Ok(Vec::new()) };
    let local = llm.mcp.iter().filter(|server| !server.command.is_empty());
    let servers = local.map(|server| {
        let resolved = resolve_env(&server.env, scope, reads)
            .map_err(|error| format!("env of the MCP server `{}`: {error}", server.name))?;
        let (env, secrets) = split_secrets(resolved.into_iter().collect(), secrets)?;
        Ok(McpServer { name: server.name.clone(), command: server.command.clone(), env, secrets })
    });
    servers.collect()
}

/// The values of a Python step's arguments.
fn arguments(step: &Step, scope: &Scope<'_>, reads: &mut Reads) -> Result<Vec<Json>, String> {
    let Action::Python(python) = &step.action else { return Ok(Vec::new()) };
    let values = python.args.iter().enumerate().map(|(at, arg)| {
        let resolved =
            resolve(arg, scope, reads).map_err(|error| format!("args[{at}]: {error}"))?;
        if let Some(secret) = resolved.secrets.first() {
            return Err(format!("args[{at}]: the secret `{}` is no argument", secret.name));
        }
        let bytes = resolved.value.to_string().len();
        if bytes > MAX_ARGUMENT_BYTES {
            return Err(format!(
                "args[{at}] has {bytes} bytes, the limit is {MAX_ARGUMENT_BYTES}; hand it over in a file"
            ));
        }
        Ok(resolved.value)
    });
    values.collect()
}

/// Plain and secret variables.
type SplitVariables = (Vec<(String, String)>, Vec<(String, Bytes)>);

fn split_secrets(
    variables: BTreeMap<String, EnvValue>,
    secrets: &dyn SecretSource,
) -> Result<SplitVariables, String> {
    let mut split = SplitVariables::default();
    for (name, value) in variables {
        match value {
            EnvValue::Text(text) => split.0.push((name, text)),
            EnvValue::Secret(secret) => {
                let text = secrets.secret(&secret).ok_or_else(|| missing(&secret))?;
                split.1.push((name, Bytes(text)));
            }
        }
    }
    Ok(split)
}

fn missing(secret: &str) -> String {
    format!(
        "the secret `{secret}` was not given to this run; set it with `plue secret set {secret}`, \
         for a server with `plue --server URL secret set {secret} --repo OWNER/NAME`; on your own \
         machine a variable of this name and `--secret {secret}` do as well"
    )
}

/// Variables that plue sets for every step; the plan overrides them, except for [`is_reserved`]
/// ones. `PLUE_OUTPUT`, `PLUE_WORKSPACE` and `PLUE_EVENT_PATH` are paths on the
/// runner, which sets them.
fn standard(attempt: &AttemptContext<'_>, event: &Event) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (run, step, visit) = (attempt.run, &attempt.step.id, attempt.at.visit);
    let mut standard = vec![
        ("CI", "true".to_owned()),
        ("PLUE", "true".to_owned()),
        ("PLUE_RUN_ID", run.to_string()),
        ("PLUE_STEP_ID", step.to_string()),
        ("PLUE_ATTEMPT", attempt.at.number.to_string()),
        ("PLUE_VISIT", visit.to_string()),
        ("PLUE_IDEMPOTENCY_KEY", format!("{run}:{step}:{visit}")),
        ("PLUE_SHA", text(&event.sha)),
        ("PLUE_REF", text(&event.git_ref)),
        ("PLUE_BRANCH", text(&event.branch)),
    ];
    // As OpenTelemetry specifies for environment variables.
    standard.extend(attempt.traceparent.iter().map(|word| ("TRACEPARENT", word.clone())));
    standard
}

#[cfg(test)]
mod tests {
    use plue_plan::{
        Action, Value,
        action::Bash,
        event::{Event, EventType},
    };

    use super::*;

    fn step() -> Step {
        Step::new("a", Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() }))
    }

    fn env_of(step: &Step, plan_env: &[(&str, Value)]) -> Result<AttemptEnv, String> {
        let run = RunId::new("r1");
        let at = AttemptNumber { visit: 2, number: 3 };
        let attempt = AttemptContext { run: &run, step, at, traceparent: None };
        let plan_env =
            plan_env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut event = Event::new(EventType::Push);
        event.branch = Some("$(touch /tmp/pwned)".to_owned());
        let secrets = GivenSecrets(BTreeMap::from([("TOKEN".to_owned(), b"s3cret".to_vec())]));
        environment(&attempt, &event, &plan_env, &Scope::new(), &secrets)
    }

    #[test]
    fn variables_of_plue_override_step_and_plan() {
        let mut step = step();
        step.options.env.insert("WHO".to_owned(), Value::text("step"));
        step.options.env.insert("PLUE_RUN_ID".to_owned(), Value::text("forged"));
        let env =
            env_of(&step, &[("WHO", Value::text("plan")), ("ONLY", Value::text("plan"))]).unwrap();
        let get = |name: &str| {
            env.plain.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
        };
        assert_eq!(get("WHO"), Some("step"));
        assert_eq!(get("ONLY"), Some("plan"));
        assert_eq!(get("PLUE_RUN_ID"), Some("r1"));
        assert_eq!(get("PLUE_IDEMPOTENCY_KEY"), Some("r1:a:2"));
        assert_eq!(get("PLUE_BRANCH"), Some("$(touch /tmp/pwned)"));
    }

    #[test]
    fn plans_may_override_ci() {
        let mut step = step();
        let ci = |env: &AttemptEnv| {
            env.plain.iter().find(|(key, _)| key == "CI").map(|(_, text)| text.clone())
        };
        assert_eq!(ci(&env_of(&step, &[]).unwrap()).as_deref(), Some("true"));
        step.options.env.insert("CI".to_owned(), Value::text("false"));
        assert_eq!(ci(&env_of(&step, &[]).unwrap()).as_deref(), Some("false"));
    }

    #[test]
    fn secrets_are_no_plain_variables() {
        let mut step = step();
        step.options.secrets.push("TOKEN".to_owned());
        step.options.env.insert("NPM_TOKEN".to_owned(), Value::secret("TOKEN"));
        let env = env_of(&step, &[]).unwrap();
        let names: Vec<_> = env.secrets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["NPM_TOKEN", "TOKEN"]);
        assert!(env.plain.iter().all(|(_, text)| !text.contains("s3cret")));
    }

    #[test]
    fn missing_secrets_are_named() {
        let mut step = step();
        step.options.secrets.push("OTHER".to_owned());
        assert!(env_of(&step, &[]).err().unwrap().contains("`OTHER`"));
    }
}
