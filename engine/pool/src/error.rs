//! What can go wrong with a runner.

use std::{io, path::PathBuf};

/// A runner that cannot be had or was lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runner binary cannot be started.
    #[error("cannot start the runner {}", path.display())]
    Spawn {
        /// The binary.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory or socket of the runner cannot be made.
    #[error("cannot prepare the runner's directory {}", path.display())]
    Prepare {
        /// The directory or socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runner's process ends before it is ready, again and again.
    #[error("the runner died {deaths} times before it was ready: {last_words}")]
    Dying {
        /// How often in a row.
        deaths: u32,
        /// The end of what it wrote.
        last_words: String,
    },
    /// The run must be isolated, and cannot be here.
    #[error("the run cannot be isolated: {0}")]
    NotApart(String),
    /// The connection broke.
    #[error("the connection to the runner broke")]
    Connection(#[source] io::Error),
    /// The runner sent what the protocol does not allow.
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
