//! The workflows of `examples/agents`, each by the script of `make run` and without a key.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::golden::{Copy, root};

/// Lines that a workflow prints, in order.
const TABLE: &[(&str, &[&str])] = &[
    (
        "review",
        &[
            "▸ read",
            "error: app/slug.py:5: capitals stay",
            "note: app/test_slug.py:6",
            "post would write to the forge",
            "capitals stay",
            "run success",
        ],
    ),
    (
        "fix_the_build",
        &["FAILED (failures=1)", "The tests still fail", "+    return \"-\".join(", "run success"],
    ),
    ("triage", &["labels: bug; priority: normal", "not known: admin", "run success"]),
    ("document", &["***Test Failed***", "the examples are true", "run success"]),
];

#[test]
fn agents_are_bounded_by_steps_without_a_model() {
    let copy = Copy::of(Path::new(env!("CARGO_BIN_EXE_plue")), "agents");
    for (workflow, lines) in TABLE {
        scripted(&copy, workflow, lines);
    }
}

#[test]
fn tools_of_servers_are_called_in_the_example() {
    let copy = Copy::of(Path::new(env!("CARGO_BIN_EXE_plue")), "mcp");
    let lines = [
        "MCP server notes: 1 tools",
        "✓ mcp__notes__look_up: 3 lines",
        "two approvals",
        "run success",
    ];
    scripted(&copy, "notes", &lines);
}

/// Runs a workflow as `make run` does, and looks for lines in order.
fn scripted(copy: &Copy, workflow: &str, lines: &[&str]) {
    let mut command = Command::new(root().join("../scripts/run.sh"));
    command.args([Path::new(env!("CARGO_BIN_EXE_plue")), &copy.repo().join("../state")]);
    command.arg(copy.repo()).arg(workflow).stdin(Stdio::null());
    for name in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{workflow}: {stdout}{errors}");
    assert!(stdout.contains(&format!("claude/{workflow}.json")), "{workflow}: {stdout}");
    let mut rest = &*errors;
    for line in lines {
        let Some((_, behind)) = rest.split_once(line) else {
            panic!("{workflow}: no `{line}` where it should be: {stdout}{errors}");
        };
        rest = behind;
    }
}

#[test]
fn every_agent_is_listed_and_has_scripted_answers() {
    let folder = root().join("agents");
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(workflow) = name.strip_suffix(".plue.py") else { continue };
        assert!(page.contains(&format!("({name})")), "{name} is not in the list");
        assert!(folder.join(format!("claude/{workflow}.json")).is_file(), "{workflow}");
        found.push(workflow.to_owned());
    }
    found.sort();
    let mut tested: Vec<&str> = TABLE.iter().map(|(workflow, _)| *workflow).collect();
    tested.sort_unstable();
    assert_eq!(found, tested);
}
