//! The command line of `plue-runner`. The engine writes it; people rarely do.

use std::{path::PathBuf, time::Duration};

use plue_plan::RunnerId;

use crate::{
    Error,
    link::{EngineDial, UnixDial},
};

/// The usage text of the runner.
pub const USAGE: &str = "\
usage: plue-runner register --server URL --token TOKEN [--name NAME] [--label LABEL]...
                   [--config FILE] [--state DIR] [--ca FILE] [--systemd]
       plue-runner run [--config FILE]
       plue-runner --connect unix:PATH|http[s]://HOST --runner ID --workspace DIR --state DIR
                   [--token-fd N | --token-file FILE] [--stays] [--ca FILE] [--self-fence-after S] [--orphan-after S]
                   [--silence-after S] [--drain-grace S] [--buffer-bytes N]
                   [--index FILE] [--no-warm-python]
                   [--confined [--max-processes N] [--max-memory BYTES]] [--try]
                   [--inherit NAME]...
       plue-runner --version

register makes this machine a runner of a server: its token is used up, and the credential
that the server answers with is written to the configuration. run serves until it is stopped.
--stays waits for an engine for ever. --token-file is read again for each session.
--ca names certificates that are trusted in addition to those of the system.
--python starts the interpreter for Python steps before the first one.
The token is the first line of descriptor N (0, standard input, unless given).
--confined denies the runner and its steps system calls and sockets, and limits them.
--try ends after that and writes on standard error, line by line, what this kernel lacks.
--inherit names a variable that steps have from the runner, in addition to the usual ones.
Times are in seconds, fractions allowed.";

/// Options of a runner, from its command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the engine.
    pub connect: EngineDial,
    /// Id of the runner's row in the store.
    pub runner: RunnerId,
    /// Folder in which steps run.
    pub workspace: PathBuf,
    /// Folder of the runner's own files; survives a restart.
    pub state: PathBuf,
    /// Source of the token.
    pub token: TokenSource,
    /// Time limits of the connection and of the end.
    pub timing: Timing,
    /// Bytes of unacknowledged events per attempt, in memory and on disk together.
    pub buffer_bytes: usize,
    /// File of the workspace's index, shared between runs; `None`: in memory only.
    pub index: Option<PathBuf>,
    /// Use of a warm interpreter.
    pub python: Python,
    /// Restrictions of a sandboxed runner; `None`: none.
    pub confined: Option<Confined>,
    /// Only tries the limits.
    pub tries: bool,
    /// Variables that steps inherit in addition to the usual ones.
    pub inherit: Vec<String>,
}

/// Source of a runner's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The first line of this descriptor, read once.
    Descriptor(i32),
    /// The first line of this file, read for each session.
    File(PathBuf),
}

/// Time limits of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// After this silence of the engine, attempts are killed; `None`: never.
    pub self_fence_after: Option<Duration>,
    /// After this time without engine and work, the runner ends; `None`: never.
    pub orphan_after: Option<Duration>,
    /// After this silence of the engine, its connection is given up.
    pub silence_after: Duration,
    /// Grace time of attempts after SIGTERM.
    pub drain_grace: Duration,
}

/// Use of a warm Python interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Python {
    /// Python steps are forked from a warm interpreter where possible.
    pub is_forked: bool,
    /// Python steps are likely: the interpreter starts before the first one.
    pub is_likely: bool,
}

/// Restrictions that a sandboxed runner puts on itself and its steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confined {
    /// Bounds of processes and memory; none: those of this process.
    pub limits: Option<Limits>,
}

/// Limits that steps inherit and cannot raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Processes and threads of this user in its user namespace.
    pub max_processes: u64,
    /// Bytes of private memory of one process.
    pub max_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_processes: 1_024, max_memory_bytes: 8 * 1024 * 1024 * 1024 }
    }
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            self_fence_after: None,
            orphan_after: Some(Duration::from_secs(60)),
            silence_after: Duration::from_secs(15),
            drain_grace: Duration::from_secs(10),
        }
    }
}

// === impl Options ===

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut options = Self {
            connect: EngineDial::Unix(UnixDial(PathBuf::new())),
            runner: RunnerId::new(""),
            workspace: PathBuf::new(),
            state: PathBuf::new(),
            token: TokenSource::Descriptor(0),
            timing: Timing::default(),
            buffer_bytes: 256 * 1024 * 1024,
            index: None,
            python: Python { is_forked: true, is_likely: false },
            confined: None,
            tries: false,
            inherit: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--no-warm-python" => {
                    options.python.is_forked = false;
                    continue;
                }
                "--confined" => {
                    options.confined.get_or_insert_default();
                    continue;
                }
                "--try" => {
                    options.tries = true;
                    continue;
                }
                "--stays" => {
                    options.timing.orphan_after = None;
                    continue;
                }
                "--python" => {
                    options.python.is_likely = true;
                    continue;
                }
                _ => {}
            }
            let value = arguments.next();
            let value = value.ok_or_else(|| Error::Usage(format!("{name} needs a value")))?;
            options.set(&name, &value)?;
        }
        options.check()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "--connect" => {
                self.connect = EngineDial::parse(value)
                    .ok_or_else(|| bad(name, value, "unix:PATH or http[s]://HOST"))?;
            }
            "--runner" => self.runner = RunnerId::new(value),
            "--workspace" => self.workspace = value.into(),
            "--state" => self.state = value.into(),
            "--index" => self.index = Some(value.into()),
            "--token-fd" => self.token = TokenSource::Descriptor(number(name, value)?),
            "--token-file" => self.token = TokenSource::File(value.into()),
            "--ca" => self.connect.trust(value.into()),
            "--self-fence-after" => self.timing.self_fence_after = Some(seconds(name, value)?),
            "--orphan-after" => self.timing.orphan_after = Some(seconds(name, value)?),
            "--silence-after" => self.timing.silence_after = seconds(name, value)?,
            "--drain-grace" => self.timing.drain_grace = seconds(name, value)?,
            "--buffer-bytes" => self.buffer_bytes = number(name, value)?,
            "--max-processes" => self.limits().max_processes = number(name, value)?,
            "--max-memory" => self.limits().max_memory_bytes = number(name, value)?,
            "--inherit" => self.inherit.push(value.to_owned()),
            _ => return Err(Error::Usage(format!("unknown argument {name}"))),
        }
        Ok(())
    }

    fn limits(&mut self) -> &mut Limits {
        self.confined.get_or_insert_default().limits.get_or_insert_default()
    }

    fn check(self) -> Result<Self, Error> {
        let missing = [
            ("--connect", self.connect.is_empty()),
            ("--runner", self.runner.as_str().is_empty()),
            ("--workspace", self.workspace.as_os_str().is_empty()),
            ("--state", self.state.as_os_str().is_empty()),
        ];
        if let Some((name, _)) = missing.iter().find(|(_, is_missing)| *is_missing) {
            return Err(Error::Usage(format!("{name} is missing")));
        }
        // One tool result must always fit, and a semaphore counts in 32 bits here.
        let largest = usize::try_from(u32::MAX / 2).unwrap_or(usize::MAX);
        if !(512 * 1024..=largest).contains(&self.buffer_bytes) {
            return Err(Error::Usage("--buffer-bytes is from 524288 to 2147483647".to_owned()));
        }
        Ok(self)
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| bad(name, value, "a number"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, Error> {
    let seconds: f64 = number(name, value)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| bad(name, value, "a number of seconds"))
}

fn bad(name: &str, value: &str, wanted: &str) -> Error {
    Error::Usage(format!("{name} wants {wanted}, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Error> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_full_line_is_read() {
        let options = parse(
            "--connect unix:/run/s --runner r --workspace w --state s --token-fd 3 --self-fence-after 1.5",
        )
        .unwrap();
        assert!(matches!(options.connect, EngineDial::Unix(UnixDial(path)) if *path == *"/run/s"));
        assert_eq!(options.token, TokenSource::Descriptor(3));
        assert_eq!(options.timing.self_fence_after, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn errors_name_the_argument() {
        let cases = [
            ("--runner r", "--connect is missing"),
            ("--connect tcp:x", "--connect wants unix:PATH or http[s]://HOST"),
            ("--bogus 1", "unknown argument --bogus"),
            ("--state", "--state needs a value"),
            ("--orphan-after -1", "--orphan-after wants a number of seconds"),
        ];
        for (line, message) in cases {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(message), "{error:?}");
        }
    }
}
