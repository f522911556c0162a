//! The prompts and roles that come with plue.
//!
//! Must not hold texts: they are files of `prompts/library` and `prompts/roles`. A repository's own
//! file of the same name comes first.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    prompt::PromptFile,
    role::{Role, Roles},
};

/// A shipped file: its name without `.md`, its path in plue's sources, its text.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// The name by which steps refer to it.
    pub name: &'static str,
    /// Path in the sources of plue.
    pub file: &'static str,
    /// Contents of the whole file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(Shipped {
            name: $name,
            file: concat!("prompts/", $folder, "/", $name, ".md"),
            text: include_str!(concat!("../", $folder, "/", $name, ".md")),
        }),+]
    };
}

/// Prompts that plue ships.
pub const LIBRARY_FILES: &[Shipped] = shipped!("library":
    "code-review",
    "fix-bug",
    "plan-from-goal",
    "release-notes",
    "review-findings",
    "summarize-failure",
    "task",
    "workflow-from-goal",
);

/// Roles that plue ships.
pub const ROLE_FILES: &[Shipped] = shipped!("roles":
    "backend",
    "builder",
    "checker",
    "coder",
    "deployer",
    "doc",
    "frontend",
    "generic",
    "orchestrator",
    "planner",
    "product_manager",
    "research",
    "reviewer",
    "tester",
);

/// The shipped prompts by name. A test holds that every file parses.
pub fn library() -> &'static BTreeMap<&'static str, PromptFile> {
    static LIBRARY: LazyLock<BTreeMap<&'static str, PromptFile>> = LazyLock::new(|| {
        let parsed = |shipped: &Shipped| {
            Some((shipped.name, PromptFile::parse(shipped.file, shipped.text).ok()?))
        };
        LIBRARY_FILES.iter().filter_map(parsed).collect()
    });
    &LIBRARY
}

/// The shipped roles. A test holds that every file parses.
pub fn roles() -> &'static Roles {
    static ROLES: LazyLock<Roles> = LazyLock::new(|| {
        let mut roles = Roles::new();
        for shipped in ROLE_FILES {
            if let Ok(role) = Role::parse(shipped.file, shipped.text) {
                // A name that is taken twice is found by the same test.
                let _ = roles.insert(role);
            }
        }
        roles
    });
    &ROLES
}
