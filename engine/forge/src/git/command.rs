//! One git process on a mirror, with its permissions, timeout and output limit.

use std::{path::Path, time::Duration};

use plue_plan::budget::{Budget, Stopped};
use plue_runtime::foreign::{
    git,
    process::{ProcessError, ProcessLimits, Program},
};

use crate::{
    git::{error::GitError, remote::Remote},
    limits::{
        FETCH_MEMORY_BYTES, FETCH_TIMEOUT_S, GIT_CPU_S, GIT_MEMORY_BYTES, GIT_TIMEOUT_S,
        MAX_GIT_ANSWER_BYTES, MAX_LISTED,
    },
};

/// Settings of mirrors, in addition to those of all foreign repositories.
const SETTINGS: [(&str, &str); 7] = [
    ("core.attributesFile", "/dev/null"),
    ("credential.helper", ""),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.version", "2"),
    ("uploadpack.packObjectsHook", ""),
    ("pack.windowMemory", "64m"),
    // A bundle that the remote names is not followed.
    ("transfer.bundleURI", "false"),
];

/// Settings of a command that may ask a remote: a server that sends less than a kilobyte a second for
/// half a minute, or nothing, ends it.
const REMOTE_SETTINGS: [(&str, &str); 2] =
    [("http.lowSpeedLimit", "1000"), ("http.lowSpeedTime", "30")];

/// Repository, remote and limits of a git command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// Folder of the mirror.
    pub(super) folder: &'a Path,
    /// Source of missing objects and refs. None: no network access.
    pub(super) remote: Option<&'a Remote>,
    /// Settings of this command alone.
    pub(super) settings: &'static [(&'static str, &'static str)],
    pub(super) limits: ProcessLimits,
}

// === impl Call ===

impl<'a> Call<'a> {
    /// A command that stays on this machine.
    pub(super) const fn local(folder: &'a Path) -> Self {
        Self::with(folder, None)
    }

    /// A command that may get what is missing from a remote, if there is one.
    pub(super) const fn with(folder: &'a Path, remote: Option<&'a Remote>) -> Self {
        let limits = ProcessLimits {
            answer: Budget {
                bytes: MAX_GIT_ANSWER_BYTES as u64,
                items: MAX_LISTED as u64,
                steps: u64::MAX,
            },
            wall: Duration::from_secs(GIT_TIMEOUT_S),
            cpu: Duration::from_secs(GIT_CPU_S),
            memory: GIT_MEMORY_BYTES,
        };
        Self { folder, remote, settings: &[], limits }
    }

    /// A command that fetches.
    pub(super) const fn fetching(folder: &'a Path, remote: &'a Remote) -> Self {
        let call = Self::with(folder, Some(remote));
        let time = Duration::from_secs(FETCH_TIMEOUT_S);
        let limits =
            ProcessLimits { wall: time, cpu: time, memory: FETCH_MEMORY_BYTES, ..call.limits };
        Self { limits, ..call }
    }

    /// A command that writes a pack from what is here.
    pub(super) const fn packing(folder: &'a Path) -> Self {
        let call = Self::with(folder, None);
        let time = Duration::from_secs(FETCH_TIMEOUT_S);
        let limits =
            ProcessLimits { wall: time, cpu: time, memory: FETCH_MEMORY_BYTES, ..call.limits };
        Self { limits, ..call }
    }

    /// With an answer of at most so many bytes.
    pub(super) const fn at_most(self, bytes: u64) -> Self {
        let answer = Budget { bytes, ..self.limits.answer };
        Self { limits: ProcessLimits { answer, ..self.limits }, ..self }
    }

    /// The program, not started.
    pub(super) fn program(self, name: &'static str, args: &[&str]) -> Program {
        let secret = self.remote.and_then(Remote::setting);
        let secret = secret.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let of_remote: &[_] = if self.remote.is_some() { &REMOTE_SETTINGS } else { &[] };
        let fixed = SETTINGS.iter().chain(of_remote).chain(self.settings).copied();
        let bounds = self.remote.map(Remote::bounds).unwrap_or_default();
        let settings = fixed.chain(secret).chain(bounds);
        let protocols = self.remote.map_or("none", Remote::protocols);
        let mut git = git::on_commits(self.limits, settings).env("GIT_ALLOW_PROTOCOL", protocols);
        if self.remote.is_none() {
            git = git.env("GIT_NO_LAZY_FETCH", "1");
        }
        git.arg("--git-dir").arg(self.folder).arg(name).args(args)
    }

    /// Runs it to its end with nothing to read.
    pub(super) async fn run(self, name: &'static str, args: &[&str]) -> Result<Vec<u8>, GitError> {
        self.run_with(name, args, b"").await
    }

    /// Runs it to its end with something to read.
    pub(super) async fn run_with(
        self,
        name: &'static str,
        args: &[&str],
        input: &[u8],
    ) -> Result<Vec<u8>, GitError> {
        let answer = self.program(name, args).input(input.to_vec()).read().await;
        answer.map_err(|error| self.failed(name, error))
    }

    /// Runs it to its end, and makes something of each record, ended by NUL, as it comes.
    pub(super) async fn records<T: Send + 'static>(
        self,
        name: &'static str,
        args: &[&str],
        made: T,
        each: impl FnMut(&mut T, &[u8]) -> Result<(), Stopped> + Send + 'static,
    ) -> Result<T, GitError> {
        let made = self.program(name, args).records(0, made, each).await;
        made.map_err(|error| self.failed(name, error))
    }

    /// The error of a command, without the credential, should git repeat it.
    pub(super) fn failed(self, command: &'static str, error: ProcessError) -> GitError {
        match error {
            ProcessError::Start { source, .. } => GitError::Start(source),
            ProcessError::Failed(reason) => {
                let reason = self.remote.map_or_else(|| reason.clone(), |it| it.redact(&reason));
                GitError::Failed { command, reason }
            }
            ProcessError::Late(seconds) => GitError::TimedOut { command, seconds },
            ProcessError::Stopped(stopped) => GitError::TooLarge { command, stopped },
            ProcessError::Pipe(source) => GitError::Pipe { command, source },
            ProcessError::Interrupted => GitError::Interrupted,
        }
    }
}
