//! Children of the runner: the steps' processes, and orphans that they left behind.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::{
    attempt::Exited,
    leftovers::{self, Found, Marks},
    system::{self, Reap, Reaped},
};

/// A step's process.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) marks: Marks,
    pub(super) exit: oneshot::Sender<Exited>,
    /// Whether the warm interpreter forked it.
    pub(super) is_forked: bool,
}

/// The processes that the runner started, by process id.
#[derive(Debug, Default)]
pub(super) struct Children {
    watched: HashMap<i32, Watched>,
    /// The warm interpreter, and how its environment is recognised.
    interpreter: Option<(i32, Vec<u8>)>,
}

// === impl Children ===

impl Children {
    pub(super) fn watch(&mut self, child: Watched) {
        self.watched.insert(child.marks.group, child);
    }

    /// Tells apart the warm interpreter, which is no step's process.
    pub(super) fn set_interpreter(&mut self, interpreter: Option<(i32, Vec<u8>)>) {
        self.interpreter = interpreter;
    }

    /// Reaps whatever has ended and tells the attempts.
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

    /// A child has ended; tells its attempt, together with the orphans it left to this process.
    pub(super) fn note(&mut self, reaped: Reaped, has_living: bool) {
        let Some(child) = self.watched.remove(&reaped.pid) else {
            return;
        };
        let strays = if has_living { self.strays(&child) } else { Vec::new() };
        // An attempt that is gone does not ask any more.
        let _gone = child.exit.send(Exited { reaped, strays });
    }

    fn strays(&self, ended: &Watched) -> Vec<Found> {
        let interpreter = self.interpreter.as_ref();
        // With no other step, every orphan is of the one that ended, whatever its environment is.
        let is_alone = self.watched.is_empty();
        // A process forked from the interpreter, and not followed by an exec, carries the
        // interpreter's environment: only the last such step can be told to be its origin.
        let is_last = ended.is_forked && !self.watched.values().any(|other| other.is_forked);
        let forked = interpreter.filter(|_| is_last).map(|(_, variable)| variable);
        leftovers::children()
            .into_iter()
            .filter(|pid| !self.watched.contains_key(pid))
            .filter(|pid| interpreter.is_none_or(|(own, _)| own != pid))
            .filter(|pid| {
                is_alone
                    || leftovers::has_variable(*pid, &ended.marks.variable)
                    || forked.is_some_and(|variable| leftovers::has_variable(*pid, variable))
            })
            // They are children of this process and not reaped yet: the ids are theirs.
            .filter_map(|pid| Found::hold(pid, |_| true))
            .collect()
    }
}
