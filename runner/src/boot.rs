//! Turns a process into a runner: token, own session, subreaper, no inherited descriptors.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
};

use plue_plan::RunnerId;
use plue_runtime::Ids;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::{
    Error,
    confine::{Gap, confine},
    files,
    link::EngineDial,
    options::{Confined, Options, TokenSource},
    system,
};

/// Bytes of a boot id at most.
const MAX_BOOT_BYTES: usize = 256;
/// Bytes of a token at most.
const MAX_TOKEN_BYTES: u64 = 4_096;

/// The proof of a runner's identity.
#[derive(Clone)]
pub enum Token {
    /// The same in every session.
    Fixed(String),
    /// The first line of a file that others renew.
    File(PathBuf),
}

/// The token and the gaps of a process that has become a runner.
#[derive(Debug)]
pub struct Booted {
    /// The token for the engine.
    pub token: Token,
    /// Restrictions that this kernel does not support.
    pub gaps: Vec<Gap>,
}

/// Reads the token and detaches from terminal and parent. Call once, before anything else.
///
/// # Errors
/// [`Error::Token`] or [`Error::Setup`]; a folder of a runner of another machine cannot be made.
pub fn boot(options: &Options) -> Result<Booted, Error> {
    let token = match &options.token {
        TokenSource::Descriptor(number) => Token::Fixed(token(*number)?),
        TokenSource::File(path) => Token::File(path.clone()),
    };
    if let EngineDial::Server(_) = options.connect {
        // The engine is elsewhere: nothing else makes these folders.
        for folder in [&options.state, &options.workspace] {
            fs::create_dir_all(folder).map_err(Error::state(folder))?;
        }
    }
    detach(options.confined.as_ref()).map(|gaps| Booted { token, gaps })
}

/// Detaches the process from terminal and parent, and hides it from its steps.
pub(crate) fn detach(confined: Option<&Confined>) -> Result<Vec<Gap>, Error> {
    system::close_inherited_on_exec();
    // Token and secrets of steps are in this process: other steps may neither read nor trace it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Error::Setup { what: "hide from its steps", source: error.into() })?;
    let gaps = confined.map(confine).transpose()?.unwrap_or_default();
    // Its own session: Ctrl-C on the engine's terminal is the engine's to decide about. The leader
    // of a process group cannot start one; then its group is its own already.
    let _has_own_group = rustix::process::setsid();
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(|error| Error::Setup {
        what: "become the parent of orphaned processes",
        source: error.into(),
    })?;
    Ok(gaps)
}

// === impl Token ===

impl Token {
    /// The token of the next session. A file that cannot be read gives none, which the engine refuses.
    pub(crate) fn read(&self) -> String {
        match self {
            Self::Fixed(token) => token.clone(),
            Self::File(path) => {
                let limit = usize::try_from(MAX_TOKEN_BYTES).unwrap_or(usize::MAX);
                let bytes = files::read_followed(path, limit).unwrap_or_default();
                String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned()
            }
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

fn token(number: i32) -> Result<String, Error> {
    let read = || {
        let file = if number == 0 {
            // Standard input stays open: its number must not be taken by something else.
            File::from(rustix::io::dup(io::stdin())?)
        } else {
            File::from(system::take_fd(number)?)
        };
        let mut line = String::new();
        BufReader::new(file.take(MAX_TOKEN_BYTES)).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    read().map_err(|error| Error::Token(number, error))
}

/// The boot id: it names the state directory, not the process. A process that was started again on
/// the same directory has the attempts of the one before, and is the same runner to the engine; one
/// that lost the directory is not.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn identity(state: &Path, ids: &Ids) -> Result<String, Error> {
    let path = state.join("boot");
    match files::read(&path, MAX_BOOT_BYTES).map(String::from_utf8) {
        Ok(Ok(text)) if !text.is_empty() => return Ok(text),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::state(&path)(error)),
    }
    let (fresh, text) = (path.with_extension("new"), ids.text());
    files::create(&fresh, 0o600)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::state(&fresh))?;
    fs::rename(&fresh, &path).map_err(Error::state(&path))?;
    Ok(text)
}

/// Facts against which the engine matches steps.
pub(crate) fn facts(runner: &RunnerId) -> Vec<(String, String)> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let system = rustix::system::sysinfo();
    let memory = u128::from(system.totalram) * u128::from(system.mem_unit) / (1024 * 1024);
    let facts = [
        ("runner", runner.as_str().to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("os", std::env::consts::OS.to_owned()),
        ("arch", std::env::consts::ARCH.to_owned()),
        ("cpus", cpus.to_string()),
        ("memory_mib", memory.to_string()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Resident size of this process in KiB.
pub(crate) fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4_096) / 1024
}
