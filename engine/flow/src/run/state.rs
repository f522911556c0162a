//! The state of a run. Every collection is a work list: a step is in the one of its `StepPhase`, so
//! that no event has to look at all steps.
//!
//! Must not decide: `Worklists::enter` moves steps between lists, the rest is plain data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId};
use serde_json::Value as Json;

use crate::{
    fact::{Outcome, Reason},
    status::{AttemptStatus, StepStatus},
    wait::{Awaited, Child, Decision},
};

/// Next thing that has to happen to an open step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Hold {
    /// Other steps, or its phase.
    Dependencies,
    /// The value of its `when`.
    Condition,
    /// A place among the parallel attempts.
    Slot,
    /// The time of its next attempt.
    Retry(Timestamp),
    /// The end of its attempt.
    Attempt,
    /// An answer from outside to its attempt.
    Waiting,
    /// The decision what its attempt's or condition's end means.
    Verdict(Verdict),
    /// Nothing: the step ended.
    Nothing,
}

/// Ended work of a step whose consequence is not decided yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// `when` evaluated to false.
    ConditionFalse,
    /// `when` could not be evaluated.
    ConditionError(String),
    /// The attempt has this outcome.
    Attempt(Outcome),
}

/// Cause why a pending step will never start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doom {
    NotSelected,
    NotCalled,
    Blocked(usize),
    Stopped(usize),
    Halted,
}

/// Strength of the stop request to a running attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    None,
    Term,
    Kill,
}

/// Cause of an early end of the run; the first one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    Cancelled { by: String },
    TimedOut,
}

/// Expected answer of an attempt, and the decisions so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wait {
    pub(crate) what: Awaited,
    pub(crate) until: Option<Timestamp>,
    pub(crate) decisions: Vec<Decision>,
}

/// The current attempt of a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) status: AttemptStatus,
    pub(crate) pressure: Pressure,
    pub(crate) wait: Option<Wait>,
    /// Calls of its agent that people are to decide about.
    pub(crate) asked: Vec<Wait>,
    pub(crate) child: Option<Child>,
    /// Requirement that no runner meets; preserved when the attempt ends without a runner.
    pub(crate) held: Option<String>,
}

/// One step in its current visit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepState {
    pub(crate) status: StepStatus,
    pub(crate) reason: Option<Reason>,
    pub(crate) hold: Hold,
    pub(crate) visit: u32,
    /// Visits before the run was reopened; they do not count towards a loop's bound.
    pub(crate) old_visits: u32,
    pub(crate) number: u32,
    pub(crate) attempt: Option<Attempt>,
    /// Dependencies that have not ended.
    pub(crate) unmet: usize,
    /// The first dependency that ended so that this step cannot run.
    pub(crate) blocked_by: Option<usize>,
    pub(crate) selected: bool,
    /// The earlier run that the output of a step that is not selected is from.
    pub(crate) carried: Option<RunId>,
    pub(crate) ready_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) output: Json,
    /// The last event that the step took, of all visits.
    pub(crate) taken: u64,
    /// Value of its name at its last start in this visit, if the name holds references.
    pub(crate) name: Option<String>,
}

/// All steps, and who waits for what.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Held {
    pub(crate) steps: Vec<StepState>,
    pub(crate) conditions: BTreeSet<usize>,
    pub(crate) ready: BTreeSet<usize>,
    pub(crate) retries: BTreeSet<(Timestamp, usize)>,
    pub(crate) working: BTreeSet<usize>,
    /// Those of `working` that no runner can have.
    pub(crate) unplaced: BTreeSet<usize>,
    /// Those of `working` that ask people about calls, and whether they do anything else.
    pub(crate) asked: BTreeMap<usize, bool>,
    /// Attempts that wait for something outside.
    pub(crate) waiting: BTreeSet<usize>,
    /// Deadlines of the waits.
    pub(crate) alarms: BTreeSet<(Timestamp, usize)>,
    /// Those that have their answer.
    pub(crate) answered: BTreeSet<usize>,
    pub(crate) verdicts: BTreeSet<usize>,
    pub(crate) doomed: BTreeMap<usize, Doom>,
}

// === impl StepState ===

impl StepState {
    pub(crate) fn new(unmet: usize) -> Self {
        Self {
            status: StepStatus::Pending,
            reason: None,
            hold: Hold::Dependencies,
            visit: 1,
            old_visits: 0,
            number: 0,
            attempt: None,
            unmet,
            blocked_by: None,
            selected: true,
            carried: None,
            ready_at: None,
            started_at: None,
            ended_at: None,
            output: Json::Null,
            taken: 0,
            name: None,
        }
    }

    /// True if a process of this visit has run.
    pub(crate) fn has_begun(&self) -> bool {
        let first = self.attempt.as_ref();
        self.number > 1 || first.is_some_and(|attempt| attempt.status != AttemptStatus::Queued)
    }

    /// True if the attempt waits without work in progress for the answer.
    pub(crate) fn waits_idly(&self) -> bool {
        let wait = self.attempt.as_ref().and_then(|attempt| attempt.wait.as_ref());
        self.hold == Hold::Waiting && wait.is_some_and(|wait| !wait.what.is_work())
    }

    /// Starts the next visit.
    pub(crate) fn revisit(&mut self) {
        self.visit += 1;
        self.number = 0;
        self.attempt = None;
        self.reason = None;
        self.blocked_by = None;
        self.ready_at = None;
        self.started_at = None;
        self.ended_at = None;
        self.name = None;
    }
}

// === impl Worklists ===

impl Held {
    /// Moves the step to the list of what it waits for now.
    pub(crate) fn hold(&mut self, at: usize, hold: Hold) {
        let before = std::mem::replace(&mut self.steps[at].hold, hold);
        match before {
            Hold::Condition => {
                self.conditions.remove(&at);
            }
            Hold::Slot => {
                self.ready.remove(&at);
            }
            Hold::Retry(due) => {
                self.retries.remove(&(due, at));
            }
            Hold::Attempt => {
                self.working.remove(&at);
                self.unplaced.remove(&at);
                self.asked.remove(&at);
            }
            Hold::Waiting => self.stop_waiting(at),
            Hold::Verdict(_) => {
                self.verdicts.remove(&at);
            }
            Hold::Dependencies | Hold::Nothing => {}
        }
        match self.steps[at].hold {
            Hold::Condition => {
                self.conditions.insert(at);
            }
            Hold::Slot => {
                self.ready.insert(at);
            }
            Hold::Retry(due) => {
                self.retries.insert((due, at));
            }
            Hold::Attempt => {
                self.working.insert(at);
            }
            Hold::Waiting => {
                self.waiting.insert(at);
                self.alarms.extend(self.alarm(at));
            }
            Hold::Verdict(_) => {
                self.verdicts.insert(at);
            }
            Hold::Nothing => {
                self.doomed.remove(&at);
            }
            Hold::Dependencies => {}
        }
    }

    fn stop_waiting(&mut self, at: usize) {
        self.waiting.remove(&at);
        self.answered.remove(&at);
        if let Some(alarm) = self.alarm(at) {
            self.alarms.remove(&alarm);
        }
    }

    fn alarm(&self, at: usize) -> Option<(Timestamp, usize)> {
        let wait = self.steps[at].attempt.as_ref()?.wait.as_ref()?;
        wait.until.map(|until| (until, at))
    }

    /// True if only pauses and waits for the outside are left.
    pub(crate) fn is_idle(&self) -> bool {
        (!self.retries.is_empty() || !self.waiting.is_empty() || !self.asked.is_empty())
            && self.answered.is_empty()
            && self.is_quiet()
    }

    /// True if only waits for the outside are left.
    pub(crate) fn only_waits(&self) -> bool {
        self.is_idle() && self.retries.is_empty()
    }

    fn is_quiet(&self) -> bool {
        self.conditions.is_empty()
            && self.ready.is_empty()
            && self.working.len() == self.asked.values().filter(|is_busy| !**is_busy).count()
            && self.verdicts.is_empty()
            && self.doomed.is_empty()
    }
}
