//! `plue --help`: the commands in groups by what people want to do.
//!
//! Must not describe a command: its own line stands with its arguments.

use std::fmt::Write as _;

use clap::{ArgMatches, Command, CommandFactory as _, Error, error::ErrorKind};

use crate::args::Cli;

/// Headings of the help with their commands, those needed first in front.
pub const GROUPS: [(&str, &[&str]); 8] = [
    (
        "Write and check",
        &["template", "list", "plan", "validate", "prompt", "agent", "test", "schema"],
    ),
    (
        "Run",
        &["run", "cancel", "retry", "rerun", "replay", "resume", "build", "orchestration", "git"],
    ),
    (
        "Look",
        &[
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
        ],
    ),
    ("Decide and answer", &["approvals", "approve", "reject", "callback", "event"]),
    ("Keep secrets", &["secret"]),
    (
        "Serve",
        &[
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
        ],
    ),
    ("Keep and move data", &["backup", "restore", "migrate"]),
    ("Set up and help", &["doctor", "config", "completions", "hash", "help"]),
];

/// Spaces around the names of commands.
const INDENT: usize = 2;

/// Shows the help of `plue` with its commands in groups; another outcome stays as it is. Only the help needs
/// the tree of all commands, and to build it takes longer than the rest of the start.
///
/// # Errors
/// The outcome.
pub fn grouped(outcome: Error) -> Result<ArgMatches, Error> {
    match outcome.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            command().try_get_matches()
        }
        _ => Err(outcome),
    }
}

/// The command line with grouped help.
fn command() -> Command {
    let mut command = Cli::command();
    // Adds `help`, which is a command like the others.
    command.build();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        groups(&command)
    );
    Cli::command().help_template(template)
}

fn groups(command: &Command) -> String {
    let shown = |name: &str| command.find_subcommand(name).filter(|found| !found.is_hide_set());
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter());
    let width = names.map(|name| name.len()).max().unwrap_or_default() + INDENT;
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _infallible = writeln!(text, "{title}:");
        for found in names.iter().filter_map(|name| shown(name)) {
            let about = found.get_about().map(ToString::to_string).unwrap_or_default();
            let name = found.get_name();
            let _infallible = writeln!(text, "{:INDENT$}{name:<width$}{about}", "");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_stands_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let known: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        let grouped: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(grouped.len(), known.len(), "a command stands in two groups");
    }
}
