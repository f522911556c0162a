//! The environment of the plue process, read once at start.

use std::{collections::BTreeMap, path::PathBuf};

use plue_wire::environment::is_usual;

use super::utf8;

/// Variables by name. Tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

// === impl Environment ===

impl Environment {
    /// The variables of this process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn of_process() -> Self {
        let pairs = std::env::vars_os();
        Self(pairs.filter_map(|(name, value)| Some((utf8(name)?, utf8(value)?))).collect())
    }

    /// The value of a variable; an empty one counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Variables that steps inherit: the usual ones and those that the operator names.
    #[must_use]
    pub fn of_steps(&self, named: &[String]) -> Vec<(String, String)> {
        let theirs = |name: &String| is_usual(name) || named.contains(name);
        let all = self.0.iter().filter(|(name, _)| theirs(name));
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// `$XDG_CONFIG_HOME/plue`, else `~/.config/plue` (XDG Base Directory Specification).
    #[must_use]
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// `$XDG_STATE_HOME/plue`, else `~/.local/state/plue`, else `.plue-state` here.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.xdg("XDG_STATE_HOME", ".local/state").unwrap_or_else(|| PathBuf::from(".plue-state"))
    }

    /// Relative paths are ignored, as the specification requires.
    fn xdg(&self, variable: &str, fallback: &str) -> Option<PathBuf> {
        let set = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(fallback));
        Some(set.or_else(home)?.join("plue"))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}
