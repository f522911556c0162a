//! The effect "perform an attempt" for steps that a runner executes.

use std::time::Duration;

use plue_plan::{Action, Plan, RunId, Step};
use plue_spec::text_of;
use plue_wire::runner::{Assign, Claim, McpServer, Program, Service};

use serde_json::Value as Json;

use super::environment::AttemptEnv;

/// Time added to the run's timeout for a step without a shorter timeout of its own.
const BEHIND_RUN: Duration = Duration::from_secs(60);

/// A function that calls the step's function with decoded arguments; runners pass texts only.
const CALLER: &str = "_plue_call";

/// Limits of an attempt that the plan does not set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Time between TERM and KILL.
    pub(crate) grace: Duration,
    /// Bytes of log stored.
    pub(crate) log_cap_bytes: u64,
}

/// The message that gives an attempt to a runner; `None` for kinds that runners do not execute.
pub(crate) fn assignment(
    claim: Claim,
    run: &RunId,
    (plan, step): (&Plan, &Step),
    env: AttemptEnv,
    event_json: &str,
    bounds: Bounds,
) -> Option<Assign> {
    Some(Assign {
        claim,
        run: run.clone(),
        step: step.id.clone(),
        program: with_services(
            with_servers(program(&step.action, &env.args)?, env.mcp),
            env.services,
        ),
        env: env.plain,
        secrets: env.secrets,
        cwd: step.options.cwd.clone(),
        event_json: event_json.to_owned(),
        timeout_ms: timeout_ms(plan, step),
        grace_ms: millis(bounds.grace),
        log_cap_bytes: bounds.log_cap_bytes,
    })
}

fn program(action: &Action, args: &[Json]) -> Option<Program> {
    match action {
        Action::Bash(bash) => {
            Some(Program::Shell { shell: bash.shell.clone(), run: bash.run.clone() })
        }
        Action::Python(python) => match (&python.code, &python.script) {
            (Some(code), _) => Some(python_code(code, python.call.as_deref(), args)),
            (None, Some(script)) => {
                Some(Program::PythonScript { script: script.clone(), args: texts(args) })
            }
            (None, None) => None,
        },
        Action::Llm(_) => Some(Program::Agent),
        Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_)
        | Action::Plugin(_) => None,
    }
}

/// Functions receive decoded arguments, code receives texts. Values are JSON in the arguments of the process,
/// never part of the code.
fn python_code(code: &str, call: Option<&str>, args: &[Json]) -> Program {
    match call {
        Some(call) if !args.iter().all(Json::is_string) => Program::PythonCode {
            code: format!(
                "{code}\n\n\ndef {CALLER}(*args):\n    import json\n\n    return {call}(*map(json.loads, args))\n"
            ),
            call: Some(CALLER.to_owned()),
            args: args.iter().map(Json::to_string).collect(),
        },
        _ => Program::PythonCode {
            code: code.to_owned(),
            call: call.map(str::to_owned),
            args: texts(args),
        },
    }
}

fn texts(args: &[Json]) -> Vec<String> {
    args.iter().map(text_of).collect()
}

/// An agent with the MCP servers of its step; without servers, older runners can execute it too.
fn with_servers(program: Program, servers: Vec<McpServer>) -> Program {
    if program == Program::Agent && !servers.is_empty() {
        return Program::McpAgent { servers };
    }
    program
}

fn with_services(program: Program, services: Vec<Service>) -> Program {
    if services.is_empty() {
        return program;
    }
    Program::WithServices { program: Box::new(program), services }
}

/// The step's timeout. One that is not shorter than the run's is extended: the engine's clock decides, and the
/// runner's only if no engine drives the run.
fn timeout_ms(plan: &Plan, step: &Step) -> u64 {
    let longest = Duration::from_secs(plue_plan::limits::MAX_DURATION_S);
    let default = plue_plan::DurationText::new(plue_plan::plan::DEFAULT_TIMEOUT);
    let whole = plan.timeout.as_ref().unwrap_or(&default).parse().unwrap_or(longest);
    let own = step.options.timeout.as_ref().and_then(|own| own.parse().ok());
    if own.is_none() && plan.timeout.is_none() && matches!(step.action, Action::Llm(_)) {
        // The run's clock is paused while people decide about calls, and an agent needs an engine anyway.
        return millis(longest);
    }
    millis(own.filter(|own| *own < whole).unwrap_or(whole.saturating_add(BEHIND_RUN)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_shorter_timeout_outlast_the_run() {
        let table = [
            ("", "", 3_660),
            (r#","timeout":"10m""#, "", 660),
            (r#","timeout":"10m""#, r#","timeout":"10m""#, 660),
            (r#","timeout":"10m""#, r#","timeout":"9m""#, 540),
            ("", r#","timeout":"2h""#, 3_660),
        ];
        for (of_plan, of_step, seconds) in table {
            let text = format!(
                r#"{{"version":1,"name":"x","steps":[{{"id":"a","kind":"bash","run":"x"{of_step}}}]{of_plan}}}"#
            );
            let plan = Plan::from_json(text.as_bytes()).unwrap();
            assert_eq!(timeout_ms(&plan, &plan.steps[0]), seconds * 1_000, "{of_plan} {of_step}");
        }
    }
}
