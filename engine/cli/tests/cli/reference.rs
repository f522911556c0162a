//! `docs/reference/cli.md` is generated from the help of the commands.

use std::fmt::Write as _;

use crate::support::Bench;

/// Every command, in the order of `plue --help`.
pub(crate) const COMMANDS: [&str; 52] = [
    "template",
    "list",
    "plan",
    "validate",
    "prompt",
    "agent",
    "test",
    "schema",
    "run",
    "cancel",
    "retry",
    "rerun",
    "replay",
    "resume",
    "build",
    "orchestration",
    "git",
    "status",
    "logs",
    "transcript",
    "runs",
    "explain",
    "artifacts",
    "usage",
    "export",
    "open",
    "doc",
    "approvals",
    "approve",
    "reject",
    "callback",
    "event",
    "secret",
    "serve",
    "repo",
    "workflow",
    "schedule",
    "schedules",
    "runners",
    "runner",
    "pools",
    "pool",
    "token",
    "webhook",
    "audit",
    "backup",
    "restore",
    "migrate",
    "doctor",
    "config",
    "completions",
    "hash",
];

const HEAD: &str = "# The command line

`plue COMMAND --help` prints the same; a test compares. Data goes to standard output, everything else to
standard error, so that `plue plan --output json | sha256sum` works. `--output json` prints documents
with `schema_version`; fields are only ever added. `plue schema NAME` prints their JSON Schemas, which
are also in [schemas](../schemas/).

A run is named by its id, the beginning of its id, or `last`: the newest of this repository that no other run started.

## Exit codes

| code | meaning |
|---|---|
| 0 | ok |
| 1 | the run failed or was cancelled, or a replay differs from its recording |
| 2 | the command line, the configuration, an event or an input is wrong |
| 3 | a plan is invalid, or is not what `--verify` expected |
| 4 | not found or not allowed |
| 5 | infrastructure: the machine, the database or a process did not do its part |
| 6 | a decision is waited for (`--no-wait`) |
| 7 | the budget is exhausted |
| 8 | denied by policy |
| 124 | the run timed out |
| 130 | interrupted |

A closed pipe (`plue logs last | head`) is no error.

## plue
";

#[test]
fn the_reference_of_the_commands_is_their_help() {
    let bench = Bench::new();
    let help = |args: &[&str]| bench.plue(args).ends(0).stdout;
    let main = help(&["--help"]);
    let (groups, _) = main.split_once("\nOptions:\n").unwrap();
    let listed: Vec<&str> = groups
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert_eq!(listed, COMMANDS);
    let mut text = format!("{HEAD}\n```text\n{}```\n", trimmed(&main));
    for command in COMMANDS {
        let _infallible = write!(
            text,
            "\n## plue {command}\n\n```text\n{}```\n",
            trimmed(&help(&[command, "--help"]))
        );
    }
    let shown = trimmed(&help(&["config", "show", "--help"]));
    let _infallible = write!(text, "\n## plue config show\n\n```text\n{shown}```\n");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
    let published = std::fs::read_to_string(file).unwrap_or_default();
    let made = concat!(env!("CARGO_TARGET_TMPDIR"), "/cli.md");
    std::fs::write(made, &text).unwrap();
    assert!(
        published == text,
        "docs/reference/cli.md is out of date: cp {made} docs/reference/cli.md"
    );
}

/// Without the spaces that Clap leaves at the ends of lines.
fn trimmed(help: &str) -> String {
    help.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
