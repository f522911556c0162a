//! The effect "perform an attempt" for steps that a runner executes.

use std::time::Duration;

use plue_plan::{Action, Plan, RunId, Step};
use plue_wire::runner::{Assign, Claim, Program, Service};

use super::environment::AttemptEnv;

/// Limits of an attempt that the plan does not set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Between TERM and KILL.
    pub(crate) grace: Duration,
    /// Bytes of log kept.
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
        program: beside(program(&step.action)?, env.services),
        env: env.plain,
        secrets: env.secrets,
        cwd: step.options.cwd.clone(),
        event_json: event_json.to_owned(),
        timeout_ms: timeout_ms(plan, step),
        grace_ms: millis(bounds.grace),
        log_cap_bytes: bounds.log_cap_bytes,
    })
}

fn program(action: &Action) -> Option<Program> {
    match action {
        Action::Bash(bash) => {
            Some(Program::Shell { shell: bash.shell.clone(), run: bash.run.clone() })
        }
        Action::Python(python) => match (&python.code, &python.script) {
            (Some(code), _) => Some(Program::PythonCode {
                code: code.clone(),
                call: python.call.clone(),
                args: python.args.clone(),
            }),
            (None, Some(script)) => {
                Some(Program::PythonScript { script: script.clone(), args: python.args.clone() })
            }
            (None, None) => None,
        },
        Action::Llm(_)
        | Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_)
        | Action::Plugin(_) => None,
    }
}

fn beside(program: Program, services: Vec<Service>) -> Program {
    if services.is_empty() {
        return program;
    }
    Program::Beside { program: Box::new(program), services }
}

/// The step's timeout; without one the plan's, which bounds the whole run anyway.
fn timeout_ms(plan: &Plan, step: &Step) -> u64 {
    let given = step.options.timeout.as_ref().or(plan.timeout.as_ref());
    let default = plue_plan::DurationText::new(plue_plan::plan::DEFAULT_TIMEOUT);
    let parsed = given.unwrap_or(&default).parse();
    millis(parsed.unwrap_or(Duration::from_secs(plue_plan::limits::MAX_DURATION_S)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
