//! Failures of a database, in the caller's terms. Refusals of a commit are no errors: see
//! [`crate::Refused`].

use std::path::PathBuf;

use plue_plan::{Code, Diagnostic};

/// Failure of a call of the store. Nothing was written, unless [`Error::Lost`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A later plue has changed the schema.
    #[error("the database has schema version {found}, this plue knows versions up to {known}")]
    NewerDatabase {
        /// The version in the database.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The file or its directory cannot be written.
    #[error("the database {place} cannot be written")]
    ReadOnly {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    /// No space is left.
    #[error("no space is left for the database")]
    DiskFull(#[source] sqlx::Error),
    /// Another process holds the database for longer than the store is ready to wait.
    #[error("the database is locked by another process")]
    Busy(#[source] sqlx::Error),
    /// The database cannot be opened or reached.
    #[error("the database {place} cannot be opened")]
    Unreachable {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    /// The file is no database, or is damaged.
    #[error("the file is not a usable SQLite database")]
    NotADatabase(#[source] sqlx::Error),
    /// A stored value has a form this program does not know.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
    /// There is no database yet and none may be made.
    #[error("there is no database at {0}")]
    Missing(PathBuf),
    /// The text is no address of a database.
    #[error("{0:?} is no address of a database")]
    BadUrl(String),
    /// The store was closed, or its writer has died.
    #[error("the store is closed")]
    Closed,
    /// The connection broke during a commit, so that it is unknown whether the work was stored.
    #[error("the connection to the database broke during a commit")]
    Lost(#[source] sqlx::Error),
    /// Two transactions touched the same rows; nothing was written. The store tries again itself, so
    /// this is seen only after many tries.
    #[error("other transactions got in the way too often")]
    Raced,
    /// A runner greets that has no row, shows a wrong token, was given up, or was restarted.
    #[error("runner {0} is unknown, or not the process it was")]
    UnknownRunner(plue_plan::RunnerId),
    /// Larger blobs cannot be read or written.
    #[error("the place of larger blobs cannot be used")]
    BlobStore(#[source] std::io::Error),
    /// There is no place for larger blobs.
    #[error("this database has no place for larger blobs")]
    NoBlobStore,
    /// A computation on the content of a log reached a limit.
    #[error("the computation was stopped: {0}")]
    Stopped(String),
    /// Any other failure of the database.
    #[error("the database refused a statement")]
    Sql(#[source] sqlx::Error),
}

/// The database is from a later plue.
pub const NEWER_DATABASE: Code = Code::new("PLUE-D0001");
/// The database cannot be written.
pub const READ_ONLY: Code = Code::new("PLUE-D0002");
/// No space is left.
pub const DISK_FULL: Code = Code::new("PLUE-D0003");
/// Another process holds the database.
pub const BUSY: Code = Code::new("PLUE-D0004");
/// The database cannot be reached.
pub const UNREACHABLE: Code = Code::new("PLUE-D0005");
/// The file is no database.
pub const NOT_A_DATABASE: Code = Code::new("PLUE-D0006");
/// A stored value cannot be read.
pub const CORRUPT: Code = Code::new("PLUE-D0007");
/// There is no database yet.
pub const MISSING: Code = Code::new("PLUE-D0008");
/// The address is malformed.
pub const BAD_URL: Code = Code::new("PLUE-D0009");
/// A runner without a row.
pub const UNKNOWN_RUNNER: Code = Code::new("PLUE-D0011");
/// The folder of blobs cannot be used.
pub const BLOB_STORE: Code = Code::new("PLUE-D0012");
/// There is no folder of blobs.
pub const NO_BLOB_STORE: Code = Code::new("PLUE-D0013");
/// An unexpected answer of the database.
pub const UNEXPECTED: Code = Code::new("PLUE-D0010");

// === impl Error ===

impl Error {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NewerDatabase { .. } => NEWER_DATABASE,
            Self::ReadOnly { .. } => READ_ONLY,
            Self::DiskFull(_) => DISK_FULL,
            Self::Busy(_) => BUSY,
            Self::Unreachable { .. } => UNREACHABLE,
            Self::NotADatabase(_) => NOT_A_DATABASE,
            Self::Corrupt(_) => CORRUPT,
            Self::Missing(_) => MISSING,
            Self::BadUrl(_) => BAD_URL,
            Self::UnknownRunner(_) => UNKNOWN_RUNNER,
            Self::BlobStore(_) => BLOB_STORE,
            Self::NoBlobStore => NO_BLOB_STORE,
            Self::Closed | Self::Lost(_) | Self::Raced | Self::Stopped(_) | Self::Sql(_) => {
                UNEXPECTED
            }
        }
    }

    /// Advice for the user.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NewerDatabase { .. } => "use the newer plue, or another state directory",
            Self::ReadOnly { .. } => {
                "make the file and its directory writable, or choose another state directory"
            }
            Self::DiskFull(_) => "free some space and run the command again; nothing is lost",
            Self::Busy(_) => "see which other plue or sqlite3 process has the file open",
            Self::Unreachable { .. } => {
                "check that the path exists or that the server answers, then run the command again"
            }
            Self::NotADatabase(_) => "move the file away, or choose another state directory",
            Self::Corrupt(_) => "restore the database from a backup, and report this as a bug",
            Self::Missing(_) => "run a workflow first; the database is made by the first run",
            Self::BadUrl(_) => "write `sqlite:PATH` or `postgres://USER@HOST/NAME`",
            Self::UnknownRunner(_) => "stop that runner; a new one is started when work waits",
            Self::BlobStore(_) => {
                "make the folder `blobs` of the state directory writable, or free some space; with an object \
                 store, `plue doctor` shows the cause"
            }
            Self::NoBlobStore => {
                "name a state directory that all engines of the database share, or an object store"
            }
            Self::Stopped(_) => "search for a simpler pattern, or in a part of the log",
            Self::Closed | Self::Lost(_) | Self::Raced | Self::Sql(_) => {
                "run the command again; runs go on where they stopped"
            }
        }
    }

    /// The problem as people see it.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Diagnostic::error(self.code(), message).hint(self.hint())
    }

    /// Whether the database may answer again without anybody's help: it restarts, the way to it is cut, or
    /// another program holds it. After [`Error::Lost`] look first whether the work was stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Lost(_) | Self::Raced => true,
            Self::Unreachable { source, .. } | Self::Sql(source) => is_outage(source),
            Self::NewerDatabase { .. }
            | Self::ReadOnly { .. }
            | Self::DiskFull(_)
            | Self::NotADatabase(_)
            | Self::Corrupt(_)
            | Self::Missing(_)
            | Self::BadUrl(_)
            | Self::Closed
            | Self::Stopped(_)
            | Self::BlobStore(_)
            | Self::NoBlobStore
            | Self::UnknownRunner(_) => false,
        }
    }

    /// Error of a commit. Where the connection ended, the answer may be all that is missing.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_) => Self::Lost(error),
            sqlx::Error::Database(fault) if fault.code().as_deref() == Some("57P01") => {
                Self::Lost(error)
            }
            _ => Self::Sql(error),
        }
    }

    /// Whether the same call may succeed at once: two transactions met, or the connection had been
    /// cut since it was used last. Nothing was written. A duplicate key that persists is retried a
    /// few times and then returned as the error.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Raced | Self::Sql(sqlx::Error::Io(_)) => true,
            Self::Sql(sqlx::Error::Database(error)) => {
                // Serialization failure, deadlock, connection ended by an administrator or because
                // its transaction was idle; a key that another transaction inserted after the check
                // for it.
                let code = error.code();
                matches!(code.as_deref(), Some("40001" | "40P01" | "57P01" | "25P03" | "23505"))
            }
            _ => false,
        }
    }
}

/// Whether a server is away: no connection, or one that the server ends or refuses for now.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions; too many connections; shutting down, crashed, starting up.
            code.starts_with("08")
                || matches!(
                    code.as_ref(),
                    "53300" | "57P01" | "57P02" | "57P03" | "25P03" | "40001" | "40P01"
                )
        }),
        _ => false,
    }
}

/// The low byte of SQLite's extended result codes.
mod sqlite_code {
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const READ_ONLY: i64 = 8;
    pub(super) const CORRUPT: i64 = 11;
    pub(super) const FULL: i64 = 13;
    pub(super) const NOT_A_DATABASE: i64 = 26;
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = error.as_database_error().and_then(|e| Some(e.code()?.into_owned()))
        else {
            return Self::Sql(error);
        };
        match code.as_str() {
            // Postgres: disk full, read-only transaction (a standby).
            "53100" => return Self::DiskFull(error),
            "25006" => {
                return Self::ReadOnly { place: "server".to_owned(), source: error };
            }
            _ => {}
        }
        // SQLSTATEs have five characters; SQLite's codes have at most four.
        let sqlite = code.parse::<i64>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff);
        match sqlite {
            Some(sqlite_code::BUSY | sqlite_code::LOCKED) => Self::Busy(error),
            Some(sqlite_code::READ_ONLY) => {
                Self::ReadOnly { place: "file".to_owned(), source: error }
            }
            Some(sqlite_code::FULL) => Self::DiskFull(error),
            Some(sqlite_code::CORRUPT | sqlite_code::NOT_A_DATABASE) => Self::NotADatabase(error),
            _ => Self::Sql(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Error> {
        let cause = || sqlx::Error::Protocol("the cause".to_owned());
        let place = || "p.db".to_owned();
        vec![
            Error::NewerDatabase { found: 9, known: 1 },
            Error::ReadOnly { place: place(), source: cause() },
            Error::DiskFull(cause()),
            Error::Busy(cause()),
            Error::Unreachable { place: place(), source: cause() },
            Error::NotADatabase(cause()),
            Error::Corrupt("x".to_owned()),
            Error::Missing("p.db".into()),
            Error::BadUrl("x".to_owned()),
            Error::Sql(cause()),
            Error::UnknownRunner(plue_plan::RunnerId::new("w")),
            Error::BlobStore(std::io::Error::other("the cause")),
            Error::NoBlobStore,
        ]
    }

    #[test]
    fn each_problem_has_a_code_of_its_own_and_advice() {
        let codes: Vec<String> = all().iter().map(|error| error.code().to_string()).collect();
        let expected: Vec<String> = (1..=13).map(|n| format!("PLUE-D{n:04}")).collect();
        assert_eq!(codes, expected);
        assert!(all().iter().all(|error| !error.hint().is_empty()));
    }

    #[test]
    fn a_diagnostic_names_the_cause_once() {
        for error in all() {
            let message = error.diagnostic().message;
            let expected = usize::from(std::error::Error::source(&error).is_some());
            assert_eq!(message.matches("the cause").count(), expected, "{message}");
        }
    }

    #[test]
    fn an_outage_passes_and_a_full_disk_does_not() {
        let io = || sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into());
        let place = "p".to_owned();
        for error in [
            Error::from(io()),
            Error::Lost(io()),
            Error::Raced,
            Error::from(sqlx::Error::PoolTimedOut),
            Error::Unreachable { place, source: io() },
        ] {
            assert!(error.is_transient(), "{error:?}");
        }
        let lasting = all().into_iter().filter(|error| !matches!(error, Error::Busy(_)));
        assert!(lasting.into_iter().all(|error| !error.is_transient()));
    }

    #[test]
    fn only_what_left_nothing_behind_is_tried_again() {
        let io = || sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into());
        assert!(Error::Raced.is_passing());
        assert!(Error::from(io()).is_passing());
        assert!(!Error::Lost(io()).is_passing(), "the commit may hold");
        assert!(all().iter().all(|error| !error.is_passing()));
    }
}
