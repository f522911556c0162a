//! Processes that have to do with a folder, from `/proc`.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// A process that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id in `/proc`.
    pub pid: i32,
    /// The file name of its program, as it was called.
    pub name: String,
    /// Its command line, joined by spaces.
    pub line: String,
}

// === impl Process ===

impl Process {
    /// The process with this id, if there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let name = Path::new(words.first()?.as_ref()).file_name()?.to_string_lossy().into_owned();
        let line: String = words.join(" ").chars().take(1_000).collect();
        Some(Self { pid, name, line })
    }

    /// Sends a signal; one that has gone meanwhile does not mind.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _gone = kill_process(pid, signal);
        }
    }

    /// True if the process exists and is not a zombie.
    #[must_use]
    pub fn lives(&self) -> bool {
        lives(self.pid)
    }
}

/// Every living process whose command line, environment or working directory names the folder.
#[must_use]
pub fn processes_of(folder: &Path) -> Vec<Process> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own && lives(*pid))
        .filter(|pid| {
            let holds = |file: &str| {
                fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| contains(&bytes, needle))
            };
            let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
            holds("cmdline") || holds("environ") || cwd.is_ok_and(|cwd| cwd.starts_with(folder))
        })
        .filter_map(Process::of)
        .collect()
}

fn lives(pid: i32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name stands in brackets and may itself contain brackets and spaces.
    text.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
