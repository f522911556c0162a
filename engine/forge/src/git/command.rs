//! One git process on a mirror: what it may do, how long, and how much it may say.

use std::{path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};

use crate::{
    git::{error::GitError, remote::Remote},
    limits::{GIT_TIMEOUT_S, MAX_GIT_ANSWER_BYTES},
};

/// Bytes of git's complaints that are kept.
const MAX_STDERR: usize = 16 * 1024;
/// Characters of them that an error repeats.
const MAX_REASON: usize = 1_000;

/// Variables that would make git work elsewhere or obey somebody else.
const FOREIGN: [&str; 22] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_EXTERNAL_DIFF",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_PROXY_COMMAND",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_CURL_VERBOSE",
    "GIT_TRACE_PACKET",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
];

/// Settings that hold against everything a repository may configure.
const SETTINGS: [(&str, &str); 12] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.quotePath", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.alternateRefsCommand", ""),
    ("credential.helper", ""),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.version", "2"),
    ("uploadpack.packObjectsHook", ""),
];

/// A git process and everything it started; dropped, all of it is killed.
#[derive(Debug)]
pub(super) struct Git {
    pub(super) child: Child,
    name: &'static str,
    group: Option<Pid>,
}

/// What a git command is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// The mirror.
    pub(super) folder: &'a Path,
    /// Where missing objects and refs come from. None: nothing leaves this machine.
    pub(super) remote: Option<&'a Remote>,
    /// Seconds.
    pub(super) timeout: u64,
    /// Settings of this command alone.
    pub(super) settings: &'static [(&'static str, &'static str)],
}

// === impl Call ===

impl<'a> Call<'a> {
    /// A command that stays on this machine.
    pub(super) const fn local(folder: &'a Path) -> Self {
        Self::with(folder, None)
    }

    /// A command that may get what is missing from a remote, if there is one.
    pub(super) const fn with(folder: &'a Path, remote: Option<&'a Remote>) -> Self {
        Self { folder, remote, timeout: GIT_TIMEOUT_S, settings: &[] }
    }

    /// Starts it.
    pub(super) fn start(self, name: &'static str, args: &[&str]) -> Result<Git, GitError> {
        let mut command = Command::new("git");
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .env("GIT_ALLOW_PROTOCOL", self.remote.map_or("none", Remote::protocols))
            .env("LC_ALL", "C");
        if self.remote.is_none() {
            command.env("GIT_NO_LAZY_FETCH", "1");
        }
        self.configure(&mut command);
        command.arg("--git-dir").arg(self.folder).arg(name).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let child = child.map_err(GitError::Start)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Git { child, name, group })
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
        let mut git = self.start(name, args)?;
        let limit = Duration::from_secs(self.timeout);
        let done = tokio::time::timeout(limit, git.converse(input)).await;
        let (answer, said) =
            done.map_err(|_| GitError::TimedOut { command: name, seconds: self.timeout })??;
        let status = git.child.wait().await.map_err(|source| git.broken(source))?;
        if status.success() {
            git.group = None;
            return Ok(answer);
        }
        let said = self.remote.map_or_else(|| said.clone(), |remote| remote.redact(&said));
        Err(GitError::Failed { command: name, reason: reason(&said, &status.to_string()) })
    }

    /// Settings travel in the environment: other users of the machine see arguments.
    fn configure(self, command: &mut Command) {
        let fixed = SETTINGS.iter().chain(self.settings);
        let fixed = fixed.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let secret = self.remote.and_then(Remote::setting);
        let mut count = 0_usize;
        for (key, value) in fixed.chain(secret) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
    }
}

// === impl Git ===

impl Git {
    /// Writes the input and reads both answers, all at once, so that no pipe fills up.
    async fn converse(&mut self, input: &[u8]) -> Result<(Vec<u8>, String), GitError> {
        let name = self.name;
        let (stdin, stdout, stderr) =
            (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // Git may end without having read everything; its status tells why.
                let _closed = stdin.write_all(input).await;
            }
        };
        let read = async {
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                let limit = MAX_GIT_ANSWER_BYTES as u64 + 1;
                stdout.take(limit).read_to_end(&mut answer).await?;
            }
            Ok(answer)
        };
        let complain = complaints(stderr);
        let ((), answer, said) = tokio::join!(write, read, complain);
        let answer: Vec<u8> = answer.map_err(|source| self.broken(source))?;
        if answer.len() > MAX_GIT_ANSWER_BYTES {
            return Err(GitError::TooLarge { command: name, limit: MAX_GIT_ANSWER_BYTES as u64 });
        }
        Ok((answer, said))
    }

    pub(super) const fn broken(&self, source: std::io::Error) -> GitError {
        GitError::Pipe { command: self.name, source }
    }

    /// That everything it started may live on: it has ended well.
    pub(super) const fn ended(&mut self) {
        self.group = None;
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _gone_already = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The beginning of what git complains, read to its end.
pub(super) async fn complaints(stderr: Option<tokio::process::ChildStderr>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stderr) = stderr {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            let room = MAX_STDERR.saturating_sub(kept.len()).min(count);
            kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// What an error repeats of git's complaints.
pub(super) fn reason(said: &str, otherwise: &str) -> String {
    let said: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect();
    match said.trim() {
        "" => otherwise.to_owned(),
        said => said.to_owned(),
    }
}
