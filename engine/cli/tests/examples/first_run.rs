//! `make run` on a machine without a key: scripted answers, with a clear notice.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::golden::check_needs;

#[test]
fn row_0_18_first_runs_need_no_key() {
    check_needs("seed");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let example = folder.path().join("seed");
    let copied =
        Command::new("cp").arg("-R").arg(root.join("examples/seed")).arg(&example).status();
    assert!(copied.unwrap().success());
    let git = |args: &[&str]| {
        let status = Command::new("git").args(args).current_dir(&example).status();
        assert!(status.unwrap().success());
    };
    git(&["init", "-q", "-b", "main"]);
    let mut command = Command::new(root.join("scripts/run.sh"));
    command.args([Path::new(env!("CARGO_BIN_EXE_plue")), &state, &example]);
    command.env("HOME", folder.path()).stdin(Stdio::null());
    for name in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{errors}");
    assert!(stdout.contains("Scripted answers; set ANTHROPIC_API_KEY for Claude"), "{stdout}");
    assert!(format!("{stdout}{errors}").contains("scripted answer, no model"), "{stdout}{errors}");
}
