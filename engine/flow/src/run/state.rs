//! The state of a run. Every collection is a work list: a step is in the one of its `Stage`, so
//! that no event has to look at all steps.
//!
//! Must not decide: `Worklists::enter` moves steps between lists, the rest is plain data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use plue_plan::{AttemptId, RunId};
use serde_json::Value as Json;

use crate::{
    fact::{Outcome, Reason},
    status::{AttemptStatus, RunStatus, StepStatus},
    wait::{Awaited, Child, Decision},
};

/// Stage of an open step: the next thing that has to happen to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// Other steps, or its phase.
    Dependencies,
    /// The value of its `when`.
    Condition,
    /// A slot among the parallel attempts.
    Slot,
    /// The time of its next attempt.
    Retry(Timestamp),
    /// The end of its attempt.
    Attempt,
    /// An answer from outside to its attempt.
    Waiting,
    /// The decision on the consequence of its attempt's or condition's end.
    Concluding(WorkResult),
    /// Nothing: the step ended.
    Nothing,
}

/// Ended work of a step whose consequence is not decided yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WorkResult {
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
    pub(crate) unschedulable: Option<String>,
}

/// One step in its current visit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepState {
    pub(crate) status: StepStatus,
    pub(crate) reason: Option<Reason>,
    pub(crate) stage: Stage,
    pub(crate) visits: Visits,
    /// Number of the current attempt within the visit; 0 before the first.
    pub(crate) number: u32,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) dependencies: DependencyState,
    pub(crate) selection: Selection,
    pub(crate) times: StepTimes,
    pub(crate) output: Json,
    /// The last event that the step took, of all visits.
    pub(crate) taken: u64,
    /// Value of its name at its last start in this visit, if the name holds references.
    pub(crate) name: Option<String>,
}

/// Visits of a step, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visits {
    pub(crate) current: u32,
    /// Visits before the run was reopened; they do not count towards a loop's bound.
    pub(crate) before_reopen: u32,
}

/// Progress of a step's dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DependencyState {
    /// Dependencies that have not ended.
    pub(crate) unmet: usize,
    /// The first dependency that ended so that this step cannot run.
    pub(crate) blocked_by: Option<usize>,
}

/// Part of a step in the selection of `--step` and `--from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) is_selected: bool,
    /// The earlier run that the output of an unselected step is from.
    pub(crate) carried: Option<RunId>,
}

/// Times of a step's current visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StepTimes {
    pub(crate) ready: Option<Timestamp>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

/// All steps, and one list for each stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Worklists {
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
    pub(crate) concluding: BTreeSet<usize>,
    pub(crate) doomed: BTreeMap<usize, Doom>,
}

/// Status of the run and the times of its changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lifecycle {
    pub(crate) status: RunStatus,
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
}

/// The timeout of the run, with its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timer {
    /// `None` if the plan's text is no duration; validation refuses such plans.
    pub(crate) limit: Option<SignedDuration>,
    /// Start of the count: the start of the run, the last reopening or the last timeout.
    pub(crate) since: Option<Timestamp>,
    /// Number of timeouts since then.
    pub(crate) fired: u32,
    /// Start of a pause of the count: see `evolve/waiting.rs`.
    pub(crate) paused_at: Option<Timestamp>,
}

/// Requests and failures that keep the run from starting steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StopState {
    /// Number of requests to cancel.
    pub(crate) requests: u32,
    pub(crate) halt: Option<Halt>,
    /// The failed step because of which nothing new starts.
    pub(crate) failed_step: Option<usize>,
}

// === impl StepState ===

impl StepState {
    pub(crate) fn new(unmet: usize) -> Self {
        Self {
            status: StepStatus::Pending,
            reason: None,
            stage: Stage::Dependencies,
            visits: Visits { current: 1, before_reopen: 0 },
            number: 0,
            attempt: None,
            dependencies: DependencyState { unmet, blocked_by: None },
            selection: Selection { is_selected: true, carried: None },
            times: StepTimes::default(),
            output: Json::Null,
            taken: 0,
            name: None,
        }
    }

    /// True if a process of this visit has run.
    pub(crate) fn has_started(&self) -> bool {
        let first = self.attempt.as_ref();
        self.number > 1 || first.is_some_and(|attempt| attempt.status != AttemptStatus::Queued)
    }

    /// True if the attempt waits without work in progress for the answer.
    pub(crate) fn waits_idly(&self) -> bool {
        let wait = self.attempt.as_ref().and_then(|attempt| attempt.wait.as_ref());
        self.stage == Stage::Waiting && wait.is_some_and(|wait| !wait.what.is_work())
    }

    /// Starts the next visit.
    pub(crate) fn revisit(&mut self) {
        self.visits.current += 1;
        self.number = 0;
        self.attempt = None;
        self.reason = None;
        self.dependencies.blocked_by = None;
        self.times = StepTimes::default();
        self.name = None;
    }
}

// === impl Worklists ===

impl Worklists {
    /// Moves the step to the list of what it waits for now.
    pub(crate) fn enter(&mut self, at: usize, stage: Stage) {
        let before = std::mem::replace(&mut self.steps[at].stage, stage);
        match before {
            Stage::Condition => {
                self.conditions.remove(&at);
            }
            Stage::Slot => {
                self.ready.remove(&at);
            }
            Stage::Retry(due) => {
                self.retries.remove(&(due, at));
            }
            Stage::Attempt => {
                self.working.remove(&at);
                self.unplaced.remove(&at);
                self.asked.remove(&at);
            }
            Stage::Waiting => self.stop_waiting(at),
            Stage::Concluding(_) => {
                self.concluding.remove(&at);
            }
            Stage::Dependencies | Stage::Nothing => {}
        }
        match self.steps[at].stage {
            Stage::Condition => {
                self.conditions.insert(at);
            }
            Stage::Slot => {
                self.ready.insert(at);
            }
            Stage::Retry(due) => {
                self.retries.insert((due, at));
            }
            Stage::Attempt => {
                self.working.insert(at);
            }
            Stage::Waiting => {
                self.waiting.insert(at);
                self.alarms.extend(self.alarm(at));
            }
            Stage::Concluding(_) => {
                self.concluding.insert(at);
            }
            Stage::Nothing => {
                self.doomed.remove(&at);
            }
            Stage::Dependencies => {}
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
            && self.concluding.is_empty()
            && self.doomed.is_empty()
    }
}
