//! Git on repositories that others wrote: nothing that a repository configures runs a program, leaves
//! the machine or takes memory without a limit.

use super::process::{ProcessLimits, Program};

/// Settings that hold against everything a repository may configure.
const SETTINGS: [(&str, &str); 12] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.quotePath", "false"),
    ("core.alternateRefsCommand", ""),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // Larger blobs are streamed, and neither compared nor held in memory.
    ("core.bigFileThreshold", "16m"),
    ("core.packedGitWindowSize", "16m"),
    ("core.packedGitLimit", "256m"),
    ("core.deltaBaseCacheLimit", "64m"),
    ("pack.threads", "2"),
];

/// Git on a repository of commits. The configuration of the machine and of the user do not count.
#[must_use]
pub fn on_commits<'s>(
    limits: ProcessLimits,
    settings: impl IntoIterator<Item = (&'s str, &'s str)>,
) -> Program {
    plain(limits, settings)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
}

/// Git in the work tree of the user of this machine, whose configuration counts: it names the files
/// that are ignored.
#[must_use]
pub fn in_work_tree(limits: ProcessLimits) -> Program {
    let git = plain(limits, []).env("GIT_NO_LAZY_FETCH", "1");
    git.inherit(&["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"])
}

/// Settings travel in the environment: other users of the machine see arguments.
fn plain<'s>(
    limits: ProcessLimits,
    settings: impl IntoIterator<Item = (&'s str, &'s str)>,
) -> Program {
    let mut git = Program::new("git", limits)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_PROTOCOL_FROM_USER", "0");
    let mut count = 0_usize;
    for (key, value) in SETTINGS.into_iter().chain(settings) {
        git = git.env(format!("GIT_CONFIG_KEY_{count}"), key);
        git = git.env(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    git.env("GIT_CONFIG_COUNT", count.to_string())
}
