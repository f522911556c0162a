//! Programs that read foreign input, git above all: the one way to run them.
//!
//! A program gets a cleared environment with a few named variables, a process group of its own,
//! limits of memory and CPU by the kernel, and a deadline. Its output is read as it comes, up to a
//! limit; at a limit, at the deadline, or when the caller no longer waits, the whole group is
//! killed. Must not know the program's purpose.

mod dialog;
mod exchange;
mod stream;

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use plue_plan::budget::{Budget, Meter, Stopped, Unit};
use rustix::{
    fs::Access,
    process::{Pid, Resource, Rlimit, prlimit},
};

use self::exchange::{Group, converse};
pub use self::{dialog::Dialog, stream::Stream};

/// Bytes of a program's complaints that are kept.
const MAX_STDERR_BYTES: usize = 16 * 1024;
/// Characters of them that an error repeats.
const MAX_REASON_CHARS: usize = 1_000;
/// Bytes of one record of an answer; paths are the longest.
const MAX_RECORD_BYTES: usize = 64 * 1024;

/// The variables that a program inherits: where programs, certificates and proxies are. Nothing that
/// could make git work elsewhere, run something else or log a credential.
const INHERITED: [&str; 15] = [
    "PATH",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "NIX_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SYSTEMROOT",
];

/// The limits of one call of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes and items of its answer.
    pub answer: Budget,
    /// Wall-clock time before the program is killed.
    pub wall: Duration,
    /// CPU time of each of its processes.
    pub cpu: Duration,
    /// Bytes of memory that each of its processes may write to (`RLIMIT_DATA`).
    pub memory: u64,
}

/// The reason that a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program's name or path.
        program: String,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("{0}")]
    Failed(String),
    /// It was killed at its deadline.
    #[error("it took longer than {0} s")]
    Late(u64),
    /// It was killed because its answer is too large.
    #[error("{0}")]
    Stopped(#[from] Stopped),
    /// A pipe to it broke.
    #[error("the pipe to it broke")]
    Pipe(#[source] io::Error),
    /// The engine is stopping.
    #[error("it was interrupted")]
    Interrupted,
}

/// A call of a program, to be run once.
#[derive(Debug)]
pub struct Program {
    command: Command,
    program: String,
    limits: ProcessLimits,
    input: Vec<u8>,
    max_file: Option<u64>,
}

/// A program that was started. Dropped, it is killed with everything it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Arc<Group>,
    limits: ProcessLimits,
    input: Vec<u8>,
    has_ended: bool,
}

/// The path of a program that is found in `PATH`; its name if there is none.
///
/// For a name and a `PATH`, [`Command`] calls `fork`, which copies the page tables of the engine: hundreds
/// of megabytes under load. For a path it calls `posix_spawn`, which shares them until the `exec`.
#[expect(clippy::disallowed_methods, reason = "where programs are, and not configuration")]
fn path_of(program: &OsStr) -> PathBuf {
    let name = Path::new(program);
    let is_program = |path: &PathBuf| {
        path.is_absolute() && rustix::fs::access(path, Access::EXEC_OK).is_ok() && path.is_file()
    };
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join(name));
    let is_name = name.components().count() == 1 && !name.is_absolute();
    is_name.then(|| found.find(is_program)).flatten().unwrap_or_else(|| name.to_owned())
}

// === impl Program ===

impl Program {
    /// A program with an environment of its own.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>, limits: ProcessLimits) -> Self {
        let mut command = Command::new(path_of(program.as_ref()));
        command.env_clear().env("LC_ALL", "C").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = program.as_ref().to_string_lossy().into_owned();
        Self { command, program, limits, input: Vec::new(), max_file: None }.inherit(&INHERITED)
    }

    /// With variables of this process, if they are set.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "named variables are passed on, and not read for configuration"
    )]
    pub fn inherit(mut self, names: &[&str]) -> Self {
        for name in names {
            if let Some(value) = std::env::var_os(name) {
                self.command.env(name, value);
            }
        }
        self
    }

    /// Appends an argument to the command line.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Appends arguments to the command line, in order.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Sets the program's working directory.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// With files of at most so many bytes each (`RLIMIT_FSIZE`); a program that writes more is killed.
    #[must_use]
    pub const fn max_file(mut self, bytes: u64) -> Self {
        self.max_file = Some(bytes);
        self
    }

    /// With something to read.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// The whole answer. Blocks.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub fn read_blocking(self) -> Result<Vec<u8>, ProcessError> {
        self.read_in(&Arc::new(Group::default()))
    }

    /// Every record of the answer, each ended by `end`, as it comes. Blocks.
    ///
    /// # Errors
    /// See [`ProcessError`]; an error of `each` kills the program.
    pub fn records_blocking(
        self,
        end: u8,
        each: impl FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), ProcessError> {
        self.records_in(&Arc::new(Group::default()), end, each)
    }

    /// The whole answer, read on a thread of its own. Dropping the future kills the program.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub async fn read(self) -> Result<Vec<u8>, ProcessError> {
        on_a_thread(move |group| self.read_in(group)).await
    }

    /// The value that `each` makes of the records, read on a thread of its own. Dropping the future
    /// kills the program.
    ///
    /// # Errors
    /// See [`ProcessError`]; an error of `each` kills the program.
    pub async fn records<T: Send + 'static>(
        self,
        end: u8,
        mut made: T,
        mut each: impl FnMut(&mut T, &[u8]) -> Result<(), Stopped> + Send + 'static,
    ) -> Result<T, ProcessError> {
        on_a_thread(move |group| {
            self.records_in(group, end, |record| each(&mut made, record))?;
            Ok(made)
        })
        .await
    }

    fn read_in(self, group: &Arc<Group>) -> Result<Vec<u8>, ProcessError> {
        let mut answer = Vec::new();
        self.run_in(group, |part| {
            answer.extend_from_slice(part);
            Ok(())
        })?;
        Ok(answer)
    }

    fn records_in(
        self,
        group: &Arc<Group>,
        end: u8,
        mut each: impl FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), ProcessError> {
        let meter = Meter::new(self.limits.answer);
        let mut rest: Vec<u8> = Vec::new();
        self.run_in(group, |part| {
            rest.extend_from_slice(part);
            let mut from = 0;
            while let Some(length) = rest.iter().skip(from).position(|byte| *byte == end) {
                meter.items(1)?;
                each(short(rest.get(from..from + length).unwrap_or_default())?)?;
                from += length + 1;
            }
            rest.drain(..from);
            short(&rest).map(drop)
        })?;
        if rest.is_empty() { Ok(()) } else { Ok(each(&rest)?) }
    }

    fn run_in(
        self,
        group: &Arc<Group>,
        mut take: impl FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), ProcessError> {
        self.start_in(group)?.finish(&mut take)?.map_err(ProcessError::Failed)
    }

    /// Starts it, to be waited for later: for programs that run at the same time. Its answer so far
    /// waits in a pipe.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(self) -> Result<Running, ProcessError> {
        self.start_in(&Arc::new(Group::default()))
    }

    fn start_in(mut self, group: &Arc<Group>) -> Result<Running, ProcessError> {
        let child = self.spawn(group)?;
        let Self { limits, input, .. } = self;
        Ok(Running { child, group: Arc::clone(group), limits, input, has_ended: false })
    }

    fn spawn(&mut self, group: &Arc<Group>) -> Result<Child, ProcessError> {
        let started = self.command.spawn();
        let child = started.map_err(|source| self.cannot_start(source))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            self.limits.confine(pid, self.max_file);
            group.begin(pid);
        }
        Ok(child)
    }

    fn cannot_start(&self, source: io::Error) -> ProcessError {
        ProcessError::Start { program: self.program.clone(), source }
    }
}

// === impl Running ===

impl Running {
    /// The whole answer, also of a program that ended with a failure.
    ///
    /// # Errors
    /// A limit was reached.
    pub fn partial_answer(mut self) -> Result<Vec<u8>, ProcessError> {
        let mut answer = Vec::new();
        let _ended_well_or_not = self.finish(&mut |part| {
            answer.extend_from_slice(part);
            Ok(())
        })?;
        Ok(answer)
    }

    /// Reads the answer and waits for the end; a failure of the program is a text.
    fn finish(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<Result<(), String>, ProcessError> {
        let meter = Meter::new(self.limits.answer);
        let input = std::mem::take(&mut self.input);
        let complaint = converse(&mut self.child, &input, self.limits.wall, &mut |part| {
            meter.bytes(part.len())?;
            take(part)
        })?;
        self.has_ended = true;
        let status = self.group.reap(&mut self.child).map_err(ProcessError::Pipe)?;
        if status.success() {
            return Ok(Ok(()));
        }
        if self.group.is_abandoned() {
            return Err(ProcessError::Interrupted);
        }
        Ok(Err(reason(&complaint, &status.to_string())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.group.kill();
            let _killed = self.group.reap(&mut self.child);
        }
    }
}

// === impl ProcessLimits ===

impl ProcessLimits {
    /// Limits a process that has just been started, and its descendants. If the kernel refuses, the
    /// deadline and the limit of the output still hold.
    fn confine(&self, pid: Pid, max_file: Option<u64>) {
        let at_most = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
        let no_core = at_most(0);
        let cpu = at_most(self.cpu.as_secs().max(1));
        let file = max_file.map(|bytes| (Resource::Fsize, at_most(bytes)));
        let all = [
            (Resource::Data, at_most(self.memory)),
            (Resource::Cpu, cpu),
            (Resource::Core, no_core),
        ];
        for (resource, limit) in all.into_iter().chain(file) {
            if let Err(error) = prlimit(Some(pid), resource, limit) {
                tracing::debug!(%error, "failed to limit a program; its deadline still holds");
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "next to `Tasks` the one place that starts blocking work"
)]
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce(&Arc<Group>) -> Result<T, ProcessError> + Send + 'static,
) -> Result<T, ProcessError> {
    let group = Abandoned(Arc::new(Group::default()));
    let shared = Arc::clone(&group.0);
    let task = tokio::task::spawn_blocking(move || work(&shared));
    task.await.map_err(|_panicked| ProcessError::Interrupted)?
}

/// Kills a group, once dropped: its caller no longer waits for the answer.
struct Abandoned(Arc<Group>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The part of a program's complaints that an error repeats.
fn reason(complaint: &str, otherwise: &str) -> String {
    let spaced = complaint.chars().map(|c| if c.is_control() { ' ' } else { c });
    let text: String = spaced.take(MAX_REASON_CHARS).collect();
    match text.trim() {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    }
}

/// A record, whole or in part, that is no longer than [`MAX_RECORD_BYTES`].
fn short(record: &[u8]) -> Result<&[u8], Stopped> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(Stopped::Exhausted { unit: Unit::Bytes, limit: MAX_RECORD_BYTES as u64 });
    }
    Ok(record)
}

#[cfg(test)]
mod tests;
