//! The context of every command: configuration, terminals, the current repository.

use std::path::{Path, PathBuf};

pub use plue_planner::session::repository_root;

use crate::{
    args::{ColorChoice, Global},
    config::{Environment, Loaded, ValueOrigin},
    failure::Failure,
    terminal::Terminal,
};

/// The state of one invocation.
#[derive(Debug)]
pub struct App {
    /// The configuration with its origins.
    pub loaded: Loaded,
    /// The environment of the process.
    pub environment: Environment,
    /// Width and colours of standard output.
    pub stdout: Terminal,
    /// Width and colours of standard error.
    pub stderr: Terminal,
    /// 0: the default; greater: more messages; negative: problems only.
    pub verbosity: i8,
}

// === impl App ===

impl App {
    /// Reads the configuration and looks at the terminals.
    ///
    /// # Errors
    /// A configuration that is wrong.
    pub fn new(global: &Global, environment: Environment) -> Result<Self, Failure> {
        let here = std::env::current_dir().ok();
        let repo = here.as_deref().map(repository_root);
        let loaded = Loaded::load(global, &environment, repo.as_deref())?;
        let quiet = i8::from(global.quiet);
        let verbosity = i8::try_from(global.verbose).unwrap_or(i8::MAX) - quiet;
        let color = match loaded.config.color.as_str() {
            "always" => ColorChoice::Always,
            "never" => ColorChoice::Never,
            _ => ColorChoice::Auto,
        };
        Ok(Self {
            stdout: Terminal::stdout(color, &environment),
            stderr: Terminal::stderr(color, &environment),
            loaded,
            environment,
            verbosity,
        })
    }

    /// Enough to print an error about the configuration itself.
    #[must_use]
    pub fn fallback(environment: Environment) -> Self {
        let loaded = Loaded::built_in(&environment);
        Self {
            stdout: Terminal::stdout(ColorChoice::Auto, &environment),
            stderr: Terminal::stderr(ColorChoice::Auto, &environment),
            loaded,
            environment,
            verbosity: 0,
        }
    }

    /// The repository a command is about: the one named, else the one around the current directory,
    /// else that directory itself.
    ///
    /// # Errors
    /// The named directory does not exist.
    pub fn repository(&self, named: Option<&Path>) -> Result<PathBuf, Failure> {
        let Some(named) = named else {
            let here = std::env::current_dir().map_err(|error| {
                Failure::not_found(format!("there is no current directory: {error}"))
            })?;
            return Ok(repository_root(&here));
        };
        let path = std::fs::canonicalize(named)
            .map_err(|error| Failure::not_found(format!("{}: {error}", named.display())))?;
        if path.is_dir() {
            Ok(path)
        } else {
            Err(Failure::not_found(format!("{} is not a directory", named.display())))
        }
    }

    /// A program of plue: the configured path, else the one in the folder of this binary.
    #[must_use]
    pub fn program(&self, configured: Option<&Path>, name: &str) -> PathBuf {
        if let Some(path) = configured {
            return path.to_owned();
        }
        let sibling = std::env::current_exe().ok().and_then(|exe| {
            let sibling = exe.parent()?.join(name);
            sibling.exists().then_some(sibling)
        });
        sibling.unwrap_or_else(|| PathBuf::from(name))
    }

    /// The configuration layer that set a key.
    #[must_use]
    pub fn origin(&self, key: &str) -> &ValueOrigin {
        self.loaded.origins.get(key).unwrap_or(&ValueOrigin::Default)
    }
}
