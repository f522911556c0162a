//! A terminal closed during `plue run`, and the reports of later commands about its run.

use std::process::{Child, Command, Stdio};

use crate::support::{Bench, CliOutput};

const SLOW: &str = r#"
def workflow():
    return Plan(name="Slow", steps=[
        Step.bash("work", "touch up; exec sleep 600"),
    ], hooks=Hooks(on_complete=[Step.bash("hook", "touch cleaned")]))
"#;

/// Process of `plue run`, once its step is running.
fn started(bench: &Bench, wrapper: &[&str]) -> Child {
    let plue = bench.command(&["run"]);
    let mut command = match wrapper.split_first() {
        None => plue,
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(plue.get_program()).args(plue.get_args());
            command.current_dir(bench.repo());
            for (name, value) in plue.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while !bench.repo().join("up").exists() {
        std::thread::yield_now();
    }
    child
}

fn signal(child: &Child, signal: &str) {
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[test]
fn closed_terminals_cancel_runs_with_their_hooks() {
    let bench = Bench::with(SLOW);
    let child = started(&bench, &[]);
    // The kernel sends SIGHUP, and then the shell sends it again.
    signal(&child, "-HUP");
    signal(&child, "-HUP");
    let output = CliOutput::of(child.wait_with_output().unwrap());
    assert_eq!(output.code, 130, "{}", output.stderr);
    assert!(bench.repo().join("cleaned").exists(), "{}", output.stderr);
    bench.plue(&["status", "last"]).ends(0).shows(&["cancelled"]);
}

#[test]
fn under_nohup_a_run_outlives_its_terminal() {
    let bench = Bench::with(SLOW);
    let child = started(&bench, &["nohup"]);
    signal(&child, "-HUP");
    bench.plue(&["status", "last"]).ends(0).shows(&["running"]);
    signal(&child, "-TERM");
    let output = CliOutput::of(child.wait_with_output().unwrap());
    assert_eq!(output.code, 130, "{}", output.stderr);
}

#[test]
fn abandoned_runs_are_named_by_later_commands() {
    let bench = Bench::with(SLOW);
    let mut child = started(&bench, &[]);
    signal(&child, "-KILL");
    child.wait().unwrap();
    bench.plue(&["runs"]).ends(0).reports(&["no process drives", "plue resume", "plue cancel"]);
    bench.write(".plue.py", crate::support::SMALL);
    bench.plue(&["run"]).ends(0).reports(&["no process drives", "plue resume"]);
}
