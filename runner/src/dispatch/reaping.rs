//! Children of the runner: the steps' processes, and orphans that they left behind.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::{
    attempt::Exited,
    leftovers::{self, Marks},
    system::{self, Reap},
};

/// A step's process.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) marks: Marks,
    pub(super) exit: oneshot::Sender<Exited>,
}

/// The processes that the runner started, by process id.
#[derive(Debug, Default)]
pub(super) struct Children(HashMap<i32, Watched>);

// === impl Children ===

impl Children {
    pub(super) fn watch(&mut self, child: Watched) {
        self.0.insert(child.marks.group, child);
    }

    /// Reaps whatever has ended and tells the attempts.
    pub(super) fn reap(&mut self) {
        let mut ended = Vec::new();
        let has_living = loop {
            match system::reap_one() {
                Reap::Ended(reaped) => {
                    ended.extend(self.0.remove(&reaped.pid).map(|child| (child, reaped)))
                }
                Reap::Living => break true,
                Reap::Childless => break false,
            }
        };
        for (child, reaped) in ended {
            let strays = if has_living {
                self.strays(&child.marks)
            } else {
                Vec::new()
            };
            // An attempt that is gone does not ask any more.
            let _gone = child.exit.send(Exited { reaped, strays });
        }
    }

    /// Orphans that came to this process when the step's own process ended.
    fn strays(&self, marks: &Marks) -> Vec<i32> {
        let children = leftovers::children();
        if children.len() <= self.0.len() {
            return Vec::new();
        }
        children
            .into_iter()
            .filter(|pid| !self.0.contains_key(pid))
            .filter(|pid| leftovers::has_variable(*pid, &marks.variable))
            .collect()
    }
}
