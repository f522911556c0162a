//! Errors that end a runner. The end of an attempt is an `Exit` of the protocol, never one of
//! these.

use std::{io, path::PathBuf};

/// The reason for which the runner ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The token could not be read from this descriptor.
    #[error("no token could be read from descriptor {0}")]
    Token(i32, #[source] io::Error),
    /// A directory or file of the runner cannot be used.
    #[error("cannot use {path}")]
    State {
        /// The directory or file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Another process uses the state directory.
    #[error("another runner uses the state directory {0}")]
    Locked(PathBuf),
    /// The process cannot be set up as a runner.
    #[error("cannot {what}")]
    Setup {
        /// The step that failed, as a verb phrase.
        what: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The machine cannot be registered, or its registration cannot be used.
    #[error("{0}")]
    Registration(String),
    /// The engine sent the runner away for good.
    #[error("the engine closed the session ({code:?}): {reason}")]
    Dismissed {
        /// The code in [`plue_wire::runner::ToRunner::Close`].
        code: plue_wire::runner::CloseCode,
        /// The engine's reason, for people.
        reason: String,
    },
    /// The runner ends while processes that its steps started cannot be killed.
    #[error("{0} processes of steps cannot be killed")]
    LeftBehind(usize),
    /// A message could not be written or read on disk.
    #[error("a stored message is unusable")]
    Frame(#[from] plue_wire::FrameError),
}

// === impl Error ===

impl Error {
    /// The exit status of the runner process: 2 usage, 3 state in use, 4 dismissed, 6 processes left,
    /// 5 otherwise. 0 promises that no process is left that a step started.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Locked(_) => 3,
            Self::Dismissed { .. } => 4,
            Self::LeftBehind(_) => 6,
            Self::Token(..)
            | Self::Registration(_)
            | Self::State { .. }
            | Self::Setup { .. }
            | Self::Frame(_) => 5,
        }
    }

    pub(crate) fn state(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::State { path, source }
    }
}
