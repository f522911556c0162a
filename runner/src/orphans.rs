//! Orphans of a step: processes in its process group, or anywhere with its environment.
//!
//! The runner is a subreaper, so orphans become its children and can be found. Must only ever
//! signal processes that provably belong to the given attempt: an id may be reused between a check
//! and a signal, so a pidfd is opened before the check.

use std::{collections::HashSet, fs, os::fd::OwnedFd, path::Path, sync::Arc};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
        test_kill_process_group,
    },
};

use crate::workspace::AttemptFiles;

/// The properties that identify an attempt's processes.
#[derive(Debug, Clone)]
pub(crate) struct ProcessMarks {
    /// The process group, which is also the process id of the step.
    pub(crate) group: i32,
    /// `PLUE_OUTPUT=…` of the environment of the step and its descendants.
    pub(crate) variable: Vec<u8>,
}

/// A process that was found. Unlike its id, its pidfd never refers to another one.
#[derive(Debug, Clone)]
pub(crate) struct ProcessHandle {
    pid: i32,
    /// Absent where the kernel or a sandbox does not permit pidfds.
    pidfd: Option<Arc<OwnedFd>>,
}

/// Processes that were killed.
#[derive(Debug, Default)]
pub(crate) struct KilledProcesses {
    /// Those that outlived their step.
    ids: HashSet<i32>,
    /// Those that were not seen to have ended. A killed process loses its environment, by which it
    /// is found, long before it closes its files and ports.
    dying: Vec<ProcessHandle>,
}

// === impl ProcessHandle ===

impl ProcessHandle {
    /// The process with this id, if it matches once its pidfd is open.
    pub(crate) fn open(pid: i32, looks: impl Fn(i32) -> bool) -> Option<Self> {
        let pidfd = match pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()) {
            Ok(pidfd) => Some(Arc::new(pidfd)),
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(_) => return None,
        };
        looks(pid).then_some(Self { pid, pidfd })
    }

    fn signal(&self, signal: Signal) {
        match &self.pidfd {
            Some(pidfd) => {
                let _gone = pidfd_send_signal(pidfd, signal);
            }
            None => send(self.pid, signal),
        }
    }

    /// Whether nothing of it is left but its status.
    fn has_ended(&self) -> bool {
        match &self.pidfd {
            // A pidfd is readable from the end of the last thread on (pidfd_open(2)).
            Some(pidfd) => {
                let mut look = [PollFd::new(pidfd, PollFlags::IN)];
                poll(&mut look, Some(&Timespec::default())) != Ok(0)
            }
            None => stat(self.pid).is_none_or(|stat| stat.is_zombie),
        }
    }
}

// === impl ProcessMarks ===

impl ProcessMarks {
    /// The marks of a process and its descendants.
    pub(crate) fn of(pid: i32, files: &AttemptFiles) -> Self {
        let mut variable = b"PLUE_OUTPUT=".to_vec();
        variable.extend_from_slice(files.output().as_os_str().as_encoded_bytes());
        Self { group: pid, variable }
    }

    /// Signals the process group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.group) {
            let _gone = kill_process_group(group, signal);
        }
    }

    /// Signals the group and the processes that left it. Adds them to `killed` after a KILL.
    pub(crate) fn signal_everywhere(&self, signal: Signal, killed: &mut KilledProcesses) {
        let mut found = self.find();
        self.signal(signal);
        found.iter().for_each(|process| process.signal(signal));
        if signal == Signal::KILL {
            killed.dying.append(&mut found);
        }
    }

    /// Whether the group still has members.
    pub(crate) fn group_lives(&self) -> bool {
        Pid::from_raw(self.group).is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    /// Every living process of the attempt.
    fn find(&self) -> Vec<ProcessHandle> {
        find(|pid| {
            stat(pid).is_some_and(|stat| !stat.is_zombie && stat.group == self.group)
                || has_variable(pid, &self.variable)
        })
    }

    /// Kills every living process of the attempt and those in `adopted`; adds them to `killed`.
    /// Returns whether there was any.
    pub(crate) fn kill_all(
        &self,
        adopted: &mut Vec<ProcessHandle>,
        killed: &mut KilledProcesses,
    ) -> bool {
        let mut found = self.find();
        found.append(adopted);
        let any = !found.is_empty();
        for process in found {
            process.signal(Signal::KILL);
            if killed.ids.insert(process.pid) {
                killed.dying.push(process);
            }
        }
        any
    }
}

// === impl KilledProcesses ===

impl KilledProcesses {
    /// Number of processes that outlived their step.
    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.dying.is_empty()
    }

    /// Whether one of them still has open files or ports.
    pub(crate) fn are_dying(&mut self) -> bool {
        self.dying.retain(|process| !process.has_ended());
        !self.dying.is_empty()
    }
}

/// Kills every process whose environment names this folder: orphans of an earlier runner.
pub(crate) fn kill_all_of_folder(folder: &Path) -> usize {
    let mut variable = b"PLUE_OUTPUT=".to_vec();
    variable.extend_from_slice(folder.as_os_str().as_encoded_bytes());
    variable.push(b'/');
    let found = find(|pid| has_prefix(pid, &variable));
    found.iter().for_each(|process| process.signal(Signal::KILL));
    found.len()
}

/// Every process that matches. Checked before the pidfd is opened as well: opening one for every
/// process costs more.
fn find(looks: impl Fn(i32) -> bool) -> Vec<ProcessHandle> {
    let likely = processes().filter(|pid| looks(*pid));
    likely.filter_map(|pid| ProcessHandle::open(pid, &looks)).collect()
}

/// Kills the direct children of this process; returns their number. The id of a child is not reused
/// before this process has reaped it.
pub(crate) fn kill_children() -> usize {
    let found = children();
    found.iter().for_each(|pid| send(*pid, Signal::KILL));
    found.len()
}

/// The direct children of this process.
pub(crate) fn children() -> Vec<i32> {
    let own = std::process::id();
    match fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(text) => text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        // Not every kernel has that file.
        Err(_) => {
            let is_child = |pid: &i32| stat(*pid).is_some_and(|stat| stat.parent == own);
            processes().filter(is_child).collect()
        }
    }
}

/// Whether the environment with which a process was started has this variable.
pub(crate) fn has_variable(pid: i32, variable: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == variable))
}

fn has_prefix(pid: i32, prefix: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry.starts_with(prefix)))
}

fn send(pid: i32, signal: Signal) {
    let own = std::process::id().cast_signed();
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() != own) {
        let _gone = kill_process(pid, signal);
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = std::process::id().cast_signed();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(move |pid| *pid != own)
}

struct Stat {
    parent: u32,
    group: i32,
    is_zombie: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may itself contain brackets and spaces.
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let is_zombie = fields.next()? == "Z";
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Stat { parent, group, is_zombie })
}
