//! The workflows that every plue has: `sample`, something to run in any directory; `hello_multi_agent`,
//! four agents for any goal; `plan_from_goal`, the question of `plue plan --goal`.
//!
//! A repository's own workflow of the same name comes first. Discovery must never find these.

use crate::{CommitView, ViewError, view::Content};

/// A workflow that comes with plue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Builtin {
    /// Name of its plan.
    pub(super) name: &'static str,
    /// Its path in every view. No file of a repository that plue finds has such a path.
    pub(super) path: &'static str,
    /// Whether its agents have nothing to do without a goal.
    pub(super) needs_goal: bool,
    source: &'static str,
}

macro_rules! builtin {
    ($name:literal, $needs_goal:literal) => {
        Builtin {
            name: $name,
            path: concat!("builtin:", $name, ".plue.py"),
            needs_goal: $needs_goal,
            source: include_str!(concat!("../../builtin/", $name, ".plue.py")),
        }
    };
}

/// Name of the workflow that answers `plue plan --goal`.
pub const PLAN_FROM_GOAL: &str = "plan_from_goal";

/// The commands for a repository without a workflow.
pub const WITHOUT_A_FILE: &str =
    "without one there are `plue run sample` and `plue run hello_multi_agent --goal TEXT`";

/// All of them, by name.
const ALL: &[Builtin] = &[
    builtin!("hello_multi_agent", true),
    builtin!("plan_from_goal", true),
    builtin!("sample", false),
];

/// A view that also holds the workflows that come with plue.
#[derive(Debug)]
pub struct WithBuiltins<V>(pub V);

/// The workflow of this name.
pub(super) fn named(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}

/// The workflow with this path.
pub(super) fn at(path: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.path == path)
}

impl<V: CommitView> CommitView for WithBuiltins<V> {
    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        self.0.matching(keep)
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        self.0.is_there(path)
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        match at(path) {
            Some(builtin) => Ok(Content::Bytes(builtin.source.as_bytes().to_vec())),
            None => self.0.content(path, cap),
        }
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        self.0.changed_files()
    }

    fn files_in(&self, folder: &str) -> Result<Vec<String>, ViewError> {
        self.0.files_in(folder)
    }
}
