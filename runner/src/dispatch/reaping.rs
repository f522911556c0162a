//! Children of the runner: processes of steps, and the orphans they leave.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::{
    attempt::Exited,
    orphans::{self, ProcessHandle, ProcessMarks},
    system::{self, Reap, Reaped},
};

/// The process of a step.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) marks: ProcessMarks,
    pub(super) exit: oneshot::Sender<Exited>,
    /// Whether it is a fork of the warm interpreter.
    pub(super) is_forked: bool,
}

/// The warm interpreter's process and the variable in its environment that identifies it.
#[derive(Debug)]
pub(super) struct InterpreterMark {
    pub(super) pid: i32,
    /// `NAME=VALUE`.
    pub(super) variable: Vec<u8>,
}

/// The processes that the runner started, by process id.
#[derive(Debug, Default)]
pub(super) struct Children {
    watched: HashMap<i32, Watched>,
    interpreter: Option<InterpreterMark>,
}

// === impl Children ===

impl Children {
    pub(super) fn watch(&mut self, child: Watched) {
        self.watched.insert(child.marks.group, child);
    }

    /// Excludes the warm interpreter from the orphans of steps.
    pub(super) fn set_interpreter(&mut self, interpreter: InterpreterMark) {
        self.interpreter = Some(interpreter);
    }

    /// Reaps ended children and reports them to their attempts.
    pub(super) fn reap(&mut self) {
        let mut ended = Vec::new();
        let has_living = loop {
            match system::reap_one() {
                Reap::Ended(reaped) => ended.push(reaped),
                Reap::Living => break true,
                Reap::Childless => break false,
            }
        };
        for reaped in ended {
            self.note(reaped, has_living);
        }
    }

    /// Reports an ended child to its attempt, with the orphans that this process inherited from it.
    pub(super) fn note(&mut self, reaped: Reaped, has_living: bool) {
        let Some(child) = self.watched.remove(&reaped.pid) else {
            return;
        };
        let orphans = if has_living { self.orphans_of(&child) } else { Vec::new() };
        let _attempt_is_over = child.exit.send(Exited { reaped, orphans });
    }

    fn orphans_of(&self, ended: &Watched) -> Vec<ProcessHandle> {
        let interpreter = self.interpreter.as_ref();
        // With no other step, every orphan belongs to the ended one, whatever its environment.
        let is_alone = self.watched.is_empty();
        // A fork of the interpreter without an exec carries the interpreter's environment: its origin
        // is known only for the last such step.
        let is_last = ended.is_forked && !self.watched.values().any(|other| other.is_forked);
        let forked = interpreter.filter(|_| is_last).map(|mark| &mark.variable);
        orphans::children()
            .into_iter()
            .filter(|pid| !self.watched.contains_key(pid))
            .filter(|pid| interpreter.is_none_or(|mark| mark.pid != *pid))
            .filter(|pid| {
                is_alone
                    || orphans::has_variable(*pid, &ended.marks.variable)
                    || forked.is_some_and(|variable| orphans::has_variable(*pid, variable))
            })
            // Unreaped children of this process: their ids cannot be reused yet.
            .filter_map(|pid| ProcessHandle::open(pid, |_| true))
            .collect()
    }
}
