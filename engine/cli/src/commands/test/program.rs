//! A step's program by itself: a run of one step, in an empty folder and with a state of its own.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use plue_plan::{Action, HashedPlan, Plan, Step, Value};
use serde_json::Value as Json;

use crate::failure::Failure;

/// The output of the step with these variables; the inner error is the reason of its failure.
pub(super) fn output(
    step: &Step,
    env: BTreeMap<String, String>,
) -> Result<Result<Json, String>, Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::infrastructure(&error))?;
    let plan = HashedPlan::new(Plan::new("test", vec![alone(step, env)?]))
        .map_err(|problem| Failure::invalid(vec![problem]))?;
    let file = folder.path().join("step.plue.json");
    std::fs::write(&file, &plan.bytes).map_err(|error| Failure::infrastructure(&error))?;
    let ran = plue(folder.path(), &["run", "step.plue.json", "--quiet"])?;
    let status = plue(folder.path(), &["status", "last", "--output", "json"])?;
    let Ok(status) = serde_json::from_slice::<Json>(&status.stdout) else {
        let reason = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        return Err(Failure::usage(format!("step `{}` cannot run by itself: {reason}", step.id)));
    };
    let row = status.pointer("/steps/0").cloned().unwrap_or_default();
    if row.get("status").and_then(Json::as_str) == Some("success") {
        return Ok(Ok(row.get("output").cloned().unwrap_or_default()));
    }
    let log = plue(folder.path(), &["logs", "last", "--tail", "10"])?;
    let reason = row.get("reason").and_then(Json::as_str).unwrap_or("it failed").to_owned();
    Ok(Err(format!("{reason}\n{}", String::from_utf8_lossy(&log.stdout)).trim_end().to_owned()))
}

/// The step without what it shares with others.
fn alone(step: &Step, env: BTreeMap<String, String>) -> Result<Step, Failure> {
    let refuse = |what: &str| {
        Err(Failure::usage(format!("step `{}` {what}, so its program is not tested", step.id))
            .hint("leave `output` out of the cases; what it is given is tested all the same"))
    };
    match &step.action {
        Action::Bash(_) => {}
        Action::Python(python) if python.script.is_none() => {}
        Action::Python(_) => return refuse("is a script of the workspace"),
        Action::Llm(_)
        | Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_)
        | Action::Plugin(_) => return refuse("runs no program of its own"),
    }
    let mut alone = Step::new(step.id.as_str(), step.action.clone());
    alone.options.timeout.clone_from(&step.options.timeout);
    alone.options.outputs.clone_from(&step.options.outputs);
    // Data is data, whatever it looks like.
    let literal = |(name, text): (String, String)| (name, Value(Json::String(text)));
    alone.options.env = env.into_iter().map(literal).collect();
    Ok(alone)
}

/// This program, with its state in the folder.
fn plue(folder: &Path, args: &[&str]) -> Result<std::process::Output, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::infrastructure(&error))?;
    let database = format!("sqlite:{}", folder.join("state/plue.db").display());
    let mut command = Command::new(program);
    command.args(args).args(["--database", &database]).arg("--state-dir").arg(folder.join("state"));
    command.current_dir(folder).stdin(Stdio::null());
    command.output().map_err(|error| Failure::infrastructure(&error))
}
