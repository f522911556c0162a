//! Steps of the plan as tools: `step(test)` lets the model run the command of the step `test` again.
//!
//! The command is the plan's; a model only adds arguments, each quoted. On the runner such a call is one of
//! `bash`.

use std::{collections::BTreeMap, time::Duration};

use plue_llm::{Tool, agent::Call, codes};
use plue_plan::{Action, Plan, Step, action::Bash};
use plue_spec::{Reads, Scope, resolve_text};
use serde_json::{Map, Value as Json, json};

/// The tool of the runner that executes the calls.
pub(super) const RUNNER_TOOL: &str = "bash";
/// Most steps in the tools of one agent.
const MAX_STEPS: usize = 16;
/// Characters of a command in the description of its tool.
const MAX_SHOWN: usize = 300;

/// The step tools of one agent, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StepTools(BTreeMap<String, StepCommand>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct StepCommand {
    /// The command line without arguments.
    line: String,
    takes_arguments: bool,
    timeout: Option<Duration>,
}

/// The step that a name of `tools` makes a tool of.
pub(super) fn step_of(name: &str) -> Option<&str> {
    let step = name.strip_prefix("step(")?.strip_suffix(')')?.trim();
    (!step.is_empty()).then_some(step)
}

/// The tools of all names of steps, and their offers for the model.
///
/// # Errors
/// A text for the author, with a code.
pub(super) fn step_tools(
    names: &[String],
    plan: &Plan,
    scope: &Scope<'_>,
) -> Result<(StepTools, Vec<Tool>), String> {
    let code = codes::STEP_TOOL;
    let (mut commands, mut offers) = (BTreeMap::new(), Vec::new());
    for id in names.iter().filter_map(|name| step_of(name)) {
        let step = plan.steps.iter().find(|step| step.id.as_str() == id);
        let Some(step) = step else {
            return Err(format!("{code}: `step({id})` in `tools` names no step of the plan"));
        };
        let Action::Bash(bash) = &step.action else {
            let kind = step.action.kind();
            return Err(format!(
                "{code}: `step({id})` in `tools` is a `{kind}` step; only commands (`Step.bash`) are tools"
            ));
        };
        let name = tool_name(id);
        let command = command(step, bash, scope)
            .map_err(|why| format!("{code}: `step({id})` in `tools`: {why}"))?;
        let offer = offer(&name, id, bash, command.takes_arguments);
        if commands.insert(name, command).is_none() {
            offers.push(offer);
        }
    }
    if commands.len() > MAX_STEPS {
        return Err(format!("{code}: one agent has at most {MAX_STEPS} steps as tools"));
    }
    Ok((StepTools(commands), offers))
}

// === impl StepTools ===

impl StepTools {
    /// The input of [`RUNNER_TOOL`] for a call of a step; `None`: the call is another tool's.
    pub(super) fn input(&self, call: &Call) -> Option<Json> {
        let command = self.0.get(&call.name)?;
        let mut line = command.line.clone();
        if command.takes_arguments {
            for argument in arguments(&call.input) {
                line.push(' ');
                line.push_str(&quoted(&argument));
            }
        }
        let mut input = json!({ "command": line });
        if let Some(timeout) = command.timeout {
            input["timeout_ms"] = json!(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        Some(input)
    }
}

/// Names of tools have fewer characters than ids of steps.
fn tool_name(step: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("step_{}", step.chars().map(plain).collect::<String>())
}

fn command(step: &Step, bash: &Bash, scope: &Scope<'_>) -> Result<StepCommand, String> {
    let mut line = String::new();
    for (name, value) in &step.options.env {
        let text = resolve_text(value, scope, &mut Reads::default());
        let text = text.map_err(|error| format!("its `env.{name}`: {error}"))?;
        line.push_str(&format!("export {name}={} && ", quoted(&text)));
    }
    if let Some(cwd) = &step.options.cwd {
        line.push_str(&format!("cd -- \"$PLUE_WORKSPACE\"/{} && ", quoted(cwd)));
    }
    let flags = if bash.shell == "sh" { "-eu" } else { "-euo pipefail" };
    let (shell, script, id) = (&bash.shell, quoted(&bash.run), quoted(step.id.as_str()));
    line.push_str(&format!("exec {shell} {flags} -c {script} {id}"));
    let takes_arguments = ["$@", "$*", "$1", "${@", "${1"].iter().any(|it| bash.run.contains(it));
    let timeout = step.options.timeout.as_ref().and_then(|text| text.parse().ok());
    Ok(StepCommand { line, takes_arguments, timeout })
}

fn offer(name: &str, id: &str, bash: &Bash, takes_arguments: bool) -> Tool {
    let shown: String = bash.run.trim().chars().take(MAX_SHOWN).collect();
    let description = format!(
        "Runs the command of the step `{id}` of this workflow in the working directory and returns its \
         combined output:\n{shown}"
    );
    let properties = match takes_arguments {
        true => json!({ "args": {
            "type": "array", "items": { "type": "string" },
            "description": "Arguments of the command, in order.",
        }}),
        false => json!({}),
    };
    let input_schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), properties),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    Tool { name: name.to_owned(), description, input_schema, strict: false }
}

/// The texts of `args`; values of other types as their JSON.
fn arguments(input: &Map<String, Json>) -> Vec<String> {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match input.get("args") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(all)) => all.iter().map(text).collect(),
        Some(one) => vec![text(one)],
    }
}

/// One word of a shell's command line, whatever the text is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let text = r#"{"version":1,"name":"x","steps":[
            {"id":"fix","kind":"llm","prompt":"Fix."},
            {"id":"test","kind":"bash","run":"make test \"$@\"","cwd":"a b","env":{"WHO":"it's"},"timeout":"90s"},
            {"id":"lint.all","kind":"bash","run":"make lint","shell":"sh"},
            {"id":"deploy","kind":"bash","run":"x","env":{"T":{"$secret":"TOKEN"}}}]}"#;
        Plan::from_json(text.as_bytes()).unwrap()
    }

    fn made(names: &[&str]) -> Result<(StepTools, Vec<Tool>), String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        step_tools(&names, &plan(), &Scope::new())
    }

    fn input(tools: &StepTools, name: &str, input: Json) -> Option<Json> {
        let input = input.as_object().cloned().unwrap();
        let (id, name) = ("a".to_owned(), name.to_owned());
        tools.input(&Call { id, earlier: 0, name, input, held: None, agent: None, run: None })
    }

    #[test]
    fn steps_become_calls_of_a_shell() {
        let (tools, offers) =
            made(&["step(test)", "bash", "step(lint.all)", "step(test)"]).unwrap();
        let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
        assert_eq!(names, ["step_test", "step_lint_all"]);
        assert!(offers[0].input_schema["properties"].get("args").is_some());
        let call = input(&tools, "step_test", json!({ "args": ["-k", "it's; rm -rf /", 3] }));
        assert_eq!(
            call,
            Some(json!({
                "command": "export WHO='it'\\''s' && cd -- \"$PLUE_WORKSPACE\"/'a b' && exec bash -euo \
                            pipefail -c 'make test \"$@\"' 'test' '-k' 'it'\\''s; rm -rf /' '3'",
                "timeout_ms": 90_000,
            }))
        );
        let lint = input(&tools, "step_lint_all", json!({ "args": ["x"] })).unwrap();
        assert_eq!(lint, json!({ "command": "exec sh -eu -c 'make lint' 'lint.all'" }));
        assert_eq!(input(&tools, "bash", json!({})), None);
    }

    #[test]
    fn only_commands_without_secrets_are_tools() {
        for (name, why) in [
            ("step(none)", "names no step"),
            ("step(fix)", "only commands"),
            ("step(deploy)", "secret"),
        ] {
            let refused = made(&[name]).unwrap_err();
            assert!(refused.starts_with("PLUE-L0021: ") && refused.contains(why), "{refused}");
        }
    }
}
