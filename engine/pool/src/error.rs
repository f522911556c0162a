//! Errors of the pool.

use std::{io, path::PathBuf};

/// The reason that a run has no runner.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runner binary cannot be started.
    #[error("cannot start the runner {}", path.display())]
    Spawn {
        /// Path of the `plue-runner` binary.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The directory or socket of the runner cannot be made.
    #[error("cannot prepare the runner's directory {}", path.display())]
    Prepare {
        /// The directory or socket.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The runner's process ends before it is ready, again and again.
    #[error("the runner died {deaths} times before it was ready: {last_words}")]
    Dying {
        /// Processes in a row that died.
        deaths: u32,
        /// The end of its standard error.
        last_words: String,
    },
    /// The run must be isolated, and cannot be here.
    #[error("the run cannot be isolated: {0}")]
    NotIsolated(String),
    /// A runner of another machine has not got the files of its run.
    #[error("the files of the run did not reach the runner: {0}")]
    Workspace(String),
    /// The connection to the runner broke.
    #[error("the connection to the runner broke")]
    Connection(#[source] io::Error),
    /// The runner violated the protocol.
    #[error("the runner broke the protocol: {0}")]
    Protocol(String),
    /// The database did not answer.
    #[error("the database refused a runner's write")]
    Store(#[from] plue_store::Error),
}

impl From<plue_wire::FrameError> for Error {
    fn from(error: plue_wire::FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}
