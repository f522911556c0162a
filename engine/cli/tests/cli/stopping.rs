//! `plue cancel` prints its progress and its waits, on this machine and with a server.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use crate::{
    serve::{Served, WORKFLOW},
    support::Bench,
};

/// A step that cleans up after TERM until a file is there, and a hook that waits for another one.
const STUBBORN: &str = r#"
def workflow(ctx):
    wait = "while ! test -e %s; do sleep 0.05; done"
    gate = ctx.inputs["gate"]
    return Plan(
        name="Stubborn",
        triggers=[Trigger.on_manual()],
        steps=[Step.bash("work", "trap '%s; exit 1' TERM; echo up; while :; do sleep 0.05; done"
                         % (wait % (gate + "/step")))],
        hooks=Hooks(on_complete=[Step.bash("tidy", wait % (gate + "/hook"))]),
        inputs={"gate": Input(type="string")},
    )
"#;

/// A running command and the lines of its standard error.
pub(crate) struct RunningCommand {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<ChildStderr>>,
}

// === impl RunningCommand ===

impl RunningCommand {
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until a line holds this text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut read = String::new();
        for line in &mut self.lines {
            let line = line.unwrap();
            if line.contains(text) {
                return line;
            }
            read.push_str(&line);
            read.push('\n');
        }
        panic!("not printed: {text}\n{read}");
    }
}

/// Checks the messages of a cancel until the run ends; opens the gates of its step and its hook.
fn ends_in_order(mut cancel: RunningCommand, gate: &Path) {
    let begins = cancel.until("stopping run ");
    assert!(begins.contains("TERM, and KILL after ") && begins.contains("--kill"), "{begins}");
    cancel.until("waiting for step `work` to end");
    std::fs::write(gate.join("step"), "").unwrap();
    cancel.until("waiting for hook `tidy` to end");
    std::fs::write(gate.join("hook"), "").unwrap();
    cancel.until("ended: cancelled");
    assert_eq!(cancel.child.wait().unwrap().code(), Some(0));
}

#[test]
fn cancel_prints_its_progress() {
    let bench = Bench::with(STUBBORN);
    bench.write("gate/x", "");
    let gate = bench.repo().join("gate");
    let input = format!("gate={}", gate.display());
    let mut command = bench.command(&["run", "--input", &input]);
    command.env("PLUE_RUNNER_GRACE", "60s");
    let mut run = RunningCommand::of(command);
    run.until("up");
    ends_in_order(RunningCommand::of(bench.command(&["cancel", "last"])), &gate);
    run.until("run cancelled");
    assert_eq!(run.child.wait().unwrap().code(), Some(1));
}

#[test]
fn cancel_on_servers_prints_its_progress() {
    let folder = tempfile::tempdir().unwrap();
    // As root, the steps are another user.
    let gate = folder.path().join("gate");
    std::fs::create_dir(&gate).unwrap();
    let environment = [("PLUE_LOCAL_READ", gate.to_str().unwrap()), ("PLUE_RUNNER_GRACE", "60s")];
    let served = Served::in_environment(&environment);
    served.bench.write("ci.plue.py", WORKFLOW);
    served.bench.write("src/app.txt", "x\n");
    served.bench.write("stubborn.plue.py", STUBBORN);
    served.push();
    served.run(1);
    let input = format!("gate={}", gate.display());
    let mut run = RunningCommand::of(served.remote(&["run", "Stubborn", "--input", &input]));
    run.until("up");
    ends_in_order(RunningCommand::of(served.remote(&["cancel", "last"])), &gate);
    run.until("run cancelled");
    assert_eq!(run.child.wait().unwrap().code(), Some(1));
}
