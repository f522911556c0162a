//! Failures of a command: diagnostics for the user, and the exit code.
//!
//! Everything a user can cause or mend is a [`Failure`] with a code and a hint. Anything else is
//! reported as a defect of plue.

use plue_plan::{Code, Diagnostic};
use plue_planner::session::{Reason, Refusal};

pub use plue_planner::session::chain;
use reqwest::StatusCode;

use crate::exit::Exit;

/// The failure that ends a command.
#[derive(Debug)]
pub struct Failure {
    /// The exit code of the process.
    pub exit: Exit,
    /// Printed on stderr; empty if everything is printed already.
    pub diagnostics: Vec<Diagnostic>,
    /// Root of the repository whose source lines are shown.
    pub repo: Option<std::path::PathBuf>,
}

/// The result of every command.
pub type Outcome = Result<Exit, Failure>;

// === impl Failure ===

impl Failure {
    /// A failure with one diagnostic.
    pub fn new(exit: Exit, diagnostic: Diagnostic) -> Self {
        Self { exit, diagnostics: vec![diagnostic], repo: None }
    }

    /// A wrong command line that Clap cannot see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, Diagnostic::error(codes::USAGE, message))
    }

    /// Something that was asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, Diagnostic::error(codes::NOT_FOUND, message))
    }

    /// Plans that are not valid.
    pub fn invalid(diagnostics: Vec<Diagnostic>) -> Self {
        Self { exit: Exit::PlanInvalid, diagnostics, repo: None }
    }

    /// With advice on the first problem.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(first) = self.diagnostics.first_mut() {
            first.hint = Some(hint.into());
        }
        self
    }

    /// The same, with a hint if something was not found and no hint is there.
    #[must_use]
    pub fn hint_if_not_found(self, hint: impl Into<String>) -> Self {
        let has_hint = self.diagnostics.first().is_some_and(|first| first.hint.is_some());
        if self.exit == Exit::NotFound && !has_hint { self.hint(hint) } else { self }
    }

    /// With the repository whose source lines are shown.
    #[must_use]
    pub fn in_repository(mut self, root: &std::path::Path) -> Self {
        self.repo = Some(root.to_owned());
        self
    }

    /// The reader closed the output, which ends the command quietly.
    pub fn closed() -> Self {
        Self { exit: Exit::Ok, diagnostics: Vec::new(), repo: None }
    }

    /// The state directory cannot be used.
    pub fn state_dir(path: &std::path::Path, error: &std::io::Error) -> Self {
        let message = format!("cannot use the state directory {}: {error}", path.display());
        Self::new(Exit::Infrastructure, Diagnostic::error(codes::INFRASTRUCTURE, message))
            .hint("name another one with --state-dir or PLUE_STATE_DIR")
    }

    /// An error of the machine, the database or a process, with all its causes.
    pub fn infrastructure(error: &dyn std::error::Error) -> Self {
        Self::new(Exit::Infrastructure, Diagnostic::error(codes::INFRASTRUCTURE, chain(error)))
    }
}

/// An error of the database.
#[must_use]
pub fn from_store(error: &plue_store::Error) -> Failure {
    Failure::new(Exit::Infrastructure, error.diagnostic())
}

impl From<plue_client::Error> for Failure {
    fn from(error: plue_client::Error) -> Self {
        use plue_client::Error;
        let message = error.to_string();
        let unanswered = |message| {
            Self::new(Exit::Infrastructure, Diagnostic::error(codes::INFRASTRUCTURE, message))
        };
        match error {
            Error::Address { .. } => Self::usage(message).hint("like https://plue.example"),
            Error::Token | Error::TooLong | Error::SeveralRuns(_) => Self::usage(message),
            Error::Unreachable { .. } => {
                unanswered(message).hint("is `plue serve` running there?")
            }
            Error::Anonymous { .. } => Self::not_found(message).hint(
                "set PLUE_TOKEN, or `token` in the configuration; make one on the server with `plue \
                 token create`",
            ),
            Error::NoRun(_) => Self::not_found(message).hint("see `plue runs`"),
            Error::Failed(cause) => Self::new(Exit::Infrastructure, *cause),
            Error::Refused(refusal) => refused(*refusal),
            Error::Unreadable(_) => {
                unanswered(message).hint("is it a plue of another version, or another program?")
            }
            Error::Broken(_) => unanswered(message),
        }
    }
}

/// The answer of an API that refused a request.
fn refused(refusal: plue_client::Refusal) -> Failure {
    let plue_client::Refusal { status, detail, code, errors } = refusal;
    if status == StatusCode::CONFLICT && !errors.is_empty() {
        return Failure { exit: Exit::NotFound, diagnostics: errors, repo: None };
    }
    if !errors.is_empty() {
        return Failure::invalid(errors);
    }
    match status {
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::not_found(detail)
        }
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            Failure::usage(detail)
        }
        _ => {
            let code = code.unwrap_or(codes::INFRASTRUCTURE);
            Failure::new(Exit::Infrastructure, Diagnostic::error(code, detail))
        }
    }
}

/// An error of the executor.
#[must_use]
pub fn from_executor(error: &plue_executor::Error) -> Failure {
    use plue_executor::Error;
    match error {
        Error::UnknownRun(_) => Failure::not_found(error.to_string()).hint("see `plue runs`"),
        Error::Store(store) => from_store(store),
        Error::Refused { .. } => Failure::usage(error.to_string()),
        Error::Busy { .. } => Failure::infrastructure(error)
            .hint("follow it with `plue logs -f`, stop it with `plue cancel`"),
        Error::Conflict { .. } => {
            let diagnostic = Diagnostic::error(codes::FILES, error.to_string());
            Failure::new(Exit::NotFound, diagnostic).hint(
                "`--keep-files` goes on with the files as they are; `--force` puts them back and \
                 keeps copies of what it overwrites",
            )
        }
        Error::MissingPlan { .. }
        | Error::Corrupt { .. }
        | Error::Overtaken { .. }
        | Error::Pool(_)
        | Error::Superseded { .. }
        | Error::SetAside { .. }
        | Error::State { .. } => Failure::infrastructure(error),
    }
}

/// An error of a file with a run.
#[must_use]
pub fn from_archive(error: &plue_archive::export::Error) -> Failure {
    use plue_archive::export::Error;
    match error {
        Error::Io(error) => Failure::infrastructure(error),
        Error::Store(error) => from_store(error),
        Error::Refused(message) => Failure::usage(message.clone()),
        Error::Bad(_) => {
            let diagnostic = Diagnostic::error(codes::ARCHIVE, error.to_string());
            Failure::new(Exit::Usage, diagnostic)
                .hint("get the file again from where it was exported")
        }
    }
}

/// An error of Postgres' own tools.
#[must_use]
pub fn from_postgres(error: &plue_archive::backup::postgres::Error) -> Failure {
    use plue_archive::backup::postgres::Error;
    match error {
        Error::Address(_) => Failure::usage(error.to_string()),
        Error::Start { tool, source } => Failure::infrastructure(source).hint(format!(
            "{tool} comes with PostgreSQL's client programs (Debian: postgresql-client)"
        )),
        Error::Failed { .. } => Failure::infrastructure(error),
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit = match refusal.reason {
            Reason::Usage => Exit::Usage,
            Reason::NotFound => Exit::NotFound,
            Reason::Invalid => Exit::PlanInvalid,
            Reason::Infrastructure => Exit::Infrastructure,
        };
        Self { exit, diagnostics: refusal.diagnostics, repo: refusal.repo }
    }
}

/// The codes of the command line, `PLUE-C….`; each has a page in `docs/errors/`.
pub mod codes {
    use super::Code;

    pub use plue_planner::session::codes::*;

    /// A configuration file is wrong.
    pub const CONFIG: Code = Code::new("PLUE-C0004");
    /// A secret that a plan names is not set.
    pub const SECRET: Code = Code::new("PLUE-C0009");
    /// The master key of the secrets is missing or cannot be used.
    pub const KEY: Code = Code::new("PLUE-C0010");
    /// Files that a retry would put back were changed outside of the run.
    pub const FILES: Code = Code::new("PLUE-C0011");
    /// A file is no exported run.
    pub const ARCHIVE: Code = Code::new("PLUE-C0012");
    /// The command or code of a step does not parse.
    pub const STEP_CODE: Code = Code::new("PLUE-C0014");
    /// The script of a step is not in the repository.
    pub const NO_SCRIPT: Code = Code::new("PLUE-C0015");
    /// A push that no server would learn of.
    pub const PUSH: Code = Code::new("PLUE-C0025");
}

#[cfg(test)]
mod tests {
    use super::codes::*;

    #[test]
    fn every_code_has_a_page_with_advice() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for code in [
            USAGE,
            NOT_FOUND,
            INFRASTRUCTURE,
            CONFIG,
            UNREADABLE,
            plue_plan::inputs::INPUT,
            EVENT,
            ROLE,
            SECRET,
            KEY,
            FILES,
            ARCHIVE,
            STEP_CODE,
            NO_SCRIPT,
            PUSH,
        ] {
            let page = std::fs::read_to_string(format!("{pages}/{code}.md")).unwrap();
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            assert!(page.contains("What to do: "), "{code}");
        }
    }
}
