//! The evaluator and the layers of its jail, from its own checks of each.

use std::process::{Command, Stdio};

use plue_wire::eval::PROTOCOL;
use serde::Deserialize;

use crate::{app::App, records::Check};

/// The output of `plue-evaluator --check`.
#[derive(Debug, Deserialize)]
struct Report {
    protocol: u32,
    build: String,
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
struct Layer {
    name: String,
    state: State,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    On,
    Allowed,
    Missing,
}

const INSTALL: &str = "plue-evaluator belongs in the folder of plue; install both from one release, \
                       or set evaluator.binary";

/// One check for the evaluator, one for each layer.
pub(super) fn evaluator(app: &App) -> Vec<Check> {
    let config = &app.loaded.config.evaluator;
    let path = app.program(config.binary.as_deref(), "plue-evaluator");
    let how = format!("{} --check", path.display());
    let mut command = Command::new(&path);
    command.arg("--check");
    for layer in &config.allow_missing {
        command.args(["--allow-missing", layer]);
    }
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => {
            let found = format!("cannot be started: {error}");
            return vec![Check::fail("plue-evaluator", found, how, INSTALL)];
        }
    };
    // A failed check still prints the missing layer.
    let Ok(report) = serde_json::from_slice::<Report>(&output.stdout) else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let found = format!("ended with {}: {}", output.status, stderr.trim());
        return vec![Check::fail("plue-evaluator", found, how, INSTALL)];
    };
    let first = if report.protocol == PROTOCOL {
        Check::ok("plue-evaluator", format!("Python/machine/policy {}", report.build), how)
    } else {
        let found = format!("speaks protocol {}, plue speaks {PROTOCOL}", report.protocol);
        Check::fail("plue-evaluator", found, how, INSTALL)
    };
    std::iter::once(first).chain(report.layers.iter().map(layer)).collect()
}

fn layer(layer: &Layer) -> Check {
    let what = format!("jail: {}", layer.name);
    let how = "the evaluator tried it";
    let detail = layer.detail.clone();
    match layer.state {
        State::On => Check::ok(&what, detail, how),
        State::Allowed => Check::warn(
            &what,
            format!("missing, and allowed to be: {detail}"),
            how,
            "remove it from evaluator.allow_missing when this machine has it",
        ),
        State::Missing => Check::fail(
            &what,
            format!("missing: {detail}"),
            how,
            &format!(
                "enable it, or allow to go without: evaluator.allow_missing = [\"{}\"]",
                layer.name
            ),
        ),
    }
}
