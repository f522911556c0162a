//! The environment of an attempt: what plue sets, the plan's, the step's, and the step's secrets.
//!
//! Secrets are kept apart from the first line on, so that the runner can mask them and nothing here
//! can log them.

use std::collections::BTreeMap;

use plue_plan::{Action, Event, RunId, Step, validate::is_reserved};
use plue_spec::{EnvValue, Reads, Scope, resolve, resolve_env};
use plue_wire::{
    eval::Bytes,
    runner::{McpServer, Service},
};
use serde_json::Value as Json;

/// Bytes of one argument of a Python step, as JSON: a little less than Linux passes to a process.
const MAX_ARGUMENT_BYTES: usize = 120 * 1024;

/// Where the texts of secrets come from.
pub trait SecretSource: Send + Sync + std::fmt::Debug {
    /// The text of a secret, or `None` if there is none of this name.
    fn secret(&self, name: &str) -> Option<Vec<u8>>;

    /// The texts of all secrets of the run: a step that got one may have left it in the workspace, so
    /// that every step masks them.
    fn all(&self) -> Vec<Vec<u8>>;
}

/// Secrets that were handed to this process for one run.
#[derive(Default, Clone)]
pub struct GivenSecrets(pub BTreeMap<String, Vec<u8>>);

/// The environment of one attempt.
#[derive(Default)]
pub(crate) struct AttemptEnv {
    pub(crate) plain: Vec<(String, String)>,
    pub(crate) secrets: Vec<(String, Bytes)>,
    /// What runs beside the step, each with an environment of its own.
    pub(crate) services: Vec<Service>,
    /// MCP servers of a Claude step that run on the runner.
    pub(crate) mcp: Vec<McpServer>,
    /// Arguments of a Python step, with their values.
    pub(crate) args: Vec<Json>,
}

/// Which try of which step of which run.
pub(crate) struct Turn<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a Step,
    pub(crate) visit: u32,
    pub(crate) number: u32,
    /// Where the trace is, if there are traces.
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

/// Names only: the texts never reach a log.
impl std::fmt::Debug for GivenSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Puts the environment of an attempt together.
///
/// # Errors
/// A text for the author: an expression that has no value, or a secret that is not there.
pub(crate) fn environment(
    turn: &Turn<'_>,
    event: &Event,
    plan_env: &BTreeMap<String, plue_plan::Value>,
    scope: &Scope<'_>,
    secrets: &dyn SecretSource,
) -> Result<AttemptEnv, String> {
    let mut variables: BTreeMap<String, EnvValue> = BTreeMap::new();
    let mut reads = Reads::default();
    for (whose, env) in [("the plan's env", plan_env), ("env", &turn.step.options.env)] {
        let resolved =
            resolve_env(env, scope, &mut reads).map_err(|error| format!("{whose}: {error}"))?;
        variables.extend(resolved);
    }
    for name in &turn.step.options.secrets {
        variables.insert(name.clone(), EnvValue::Secret(name.clone()));
    }
    for (name, text) in standard(turn, event) {
        let text = EnvValue::Text(text);
        if is_reserved(name) {
            variables.insert(name.to_owned(), text);
        } else {
            variables.entry(name.to_owned()).or_insert(text);
        }
    }
    let mut env =
        AttemptEnv { args: arguments(turn.step, scope, &mut reads)?, ..Default::default() };
    (env.plain, env.secrets) = apart(variables, secrets)?;
    for service in &turn.step.options.services {
        let resolved = resolve_env(&service.env, scope, &mut reads)
            .map_err(|error| format!("services.env: {error}"))?;
        let (plain, hidden) = apart(resolved.into_iter().collect(), secrets)?;
        env.services.push(Service {
            run: service.image.clone(),
            port: service.port,
            env: plain,
            secrets: hidden,
        });
    }
    env.mcp = servers(turn.step, scope, &mut reads, secrets)?;
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
        let (env, secrets) = apart(resolved.into_iter().collect(), secrets)?;
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

/// Plain variables and secret ones.
type Apart = (Vec<(String, String)>, Vec<(String, Bytes)>);

fn apart(
    variables: BTreeMap<String, EnvValue>,
    secrets: &dyn SecretSource,
) -> Result<Apart, String> {
    let mut apart = Apart::default();
    for (name, value) in variables {
        match value {
            EnvValue::Text(text) => apart.0.push((name, text)),
            EnvValue::Secret(secret) => {
                let text = secrets.secret(&secret).ok_or_else(|| missing(&secret))?;
                apart.1.push((name, Bytes(text)));
            }
        }
    }
    Ok(apart)
}

fn missing(secret: &str) -> String {
    format!(
        "the secret `{secret}` was not given to this run; set it with `plue secret set {secret}`, \
         for a server with `plue --server URL secret set {secret} --repo OWNER/NAME`; on your own \
         machine a variable of this name and `--secret {secret}` do as well"
    )
}

/// Variables that plue sets for every step; the plan overrides them, except for [`is_reserved`]
/// ones (`plan.md` §4). `PLUE_OUTPUT`, `PLUE_WORKSPACE` and `PLUE_EVENT_PATH` are paths on the
/// runner, so the runner sets them.
fn standard(turn: &Turn<'_>, event: &Event) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (run, step, visit) = (turn.run, &turn.step.id, turn.visit);
    let mut standard = vec![
        ("CI", "true".to_owned()),
        ("PLUE", "true".to_owned()),
        ("PLUE_RUN_ID", run.to_string()),
        ("PLUE_STEP_ID", step.to_string()),
        ("PLUE_ATTEMPT", turn.number.to_string()),
        ("PLUE_VISIT", visit.to_string()),
        ("PLUE_IDEMPOTENCY_KEY", format!("{run}:{step}:{visit}")),
        ("PLUE_SHA", text(&event.sha)),
        ("PLUE_REF", text(&event.git_ref)),
        ("PLUE_BRANCH", text(&event.branch)),
    ];
    // As OpenTelemetry says for variables of the environment.
    standard.extend(turn.traceparent.iter().map(|word| ("TRACEPARENT", word.clone())));
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
        let turn = Turn { run: &run, step, visit: 2, number: 3, traceparent: None };
        let plan_env =
            plan_env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut event = Event::new(EventType::Push);
        event.branch = Some("$(touch /tmp/pwned)".to_owned());
        let secrets = GivenSecrets(BTreeMap::from([("TOKEN".to_owned(), b"s3cret".to_vec())]));
        environment(&turn, &event, &plan_env, &Scope::new(), &secrets)
    }

    #[test]
    fn a_step_covers_the_plan_and_plue_covers_both() {
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
    fn a_plan_may_say_that_it_is_no_ci() {
        let mut step = step();
        let ci = |env: &AttemptEnv| {
            env.plain.iter().find(|(key, _)| key == "CI").map(|(_, text)| text.clone())
        };
        assert_eq!(ci(&env_of(&step, &[]).unwrap()).as_deref(), Some("true"));
        step.options.env.insert("CI".to_owned(), Value::text("false"));
        assert_eq!(ci(&env_of(&step, &[]).unwrap()).as_deref(), Some("false"));
    }

    #[test]
    fn secrets_travel_apart_from_plain_variables() {
        let mut step = step();
        step.options.secrets.push("TOKEN".to_owned());
        step.options.env.insert("NPM_TOKEN".to_owned(), Value::secret("TOKEN"));
        let env = env_of(&step, &[]).unwrap();
        let names: Vec<_> = env.secrets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["NPM_TOKEN", "TOKEN"]);
        assert!(env.plain.iter().all(|(_, text)| !text.contains("s3cret")));
    }

    #[test]
    fn a_secret_that_was_not_given_is_named() {
        let mut step = step();
        step.options.secrets.push("OTHER".to_owned());
        assert!(env_of(&step, &[]).err().unwrap().contains("`OTHER`"));
    }
}
