//! The states of the model and what must hold in each.

use std::collections::BTreeSet;

use plue_flow::AttemptStatus;
use plue_store::rule::Hold;
use plue_wire::runner::{Fence, ResultVerdict};

use super::{explore::Model, guards::Guard, moves};

pub(crate) const ENGINES: usize = 2;
pub(crate) const RUNNERS: usize = 2;
/// Attempts of the one step at most: a lost one is followed by another.
pub(crate) const TRIES: usize = 2;
/// The number of the event that says that the process runs; a remark of the runner comes before it.
pub(crate) const START: u64 = 2;
/// The number of a result.
pub(crate) const RESULT: u64 = 3;
/// Fences and epochs end somewhere, so that the model does.
pub(crate) const MAX_FENCE: u64 = 3;
pub(crate) const MAX_EPOCH: u8 = 3;

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) engines: usize,
    pub(crate) runners: usize,
    pub(crate) budget: Budget,
}

/// How many of what may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    pub(crate) engine_deaths: u8,
    pub(crate) runner_deaths: u8,
    pub(crate) breaks: u8,
    /// Runners given up though they may live.
    pub(crate) give_ups: u8,
}

/// A row of `attempt` and its log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    pub(crate) hold: Hold,
    pub(crate) runner: Option<usize>,
    /// Fence and number of each stored event.
    pub(crate) log: Vec<(u64, u64)>,
    /// Outcomes recorded.
    pub(crate) results: u8,
    /// The fence of the outcome, if a process ended by itself.
    pub(crate) by: Option<u64>,
}

/// A row of `runner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Row {
    pub(crate) gone: bool,
    pub(crate) epoch: u8,
}

/// The memory of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Engine {
    /// The session it believes to have with each runner; 0: none.
    pub(crate) sessions: [u8; RUNNERS],
    /// Events that are not committed: runner, attempt, fence, number.
    pub(crate) pending: BTreeSet<(usize, usize, u64, u64)>,
    /// Assignments that were committed and not sent.
    pub(crate) unsent: BTreeSet<(usize, usize, u64)>,
    /// Assignments that were sent and not committed: only without the guard.
    pub(crate) planned: BTreeSet<(usize, usize, u64)>,
    /// Runners that it has marked as gone, and whose attempts it has not settled.
    pub(crate) giving_up: [bool; RUNNERS],
}

/// What a runner has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) attempt: usize,
    pub(crate) fence: u64,
    /// The last number it has produced.
    pub(crate) produced: u64,
    /// Numbers up to this were acknowledged and are forgotten.
    pub(crate) dropped: u64,
    /// The process died with its runner: the result stands at this number once the engine has said where.
    pub(crate) infra: Option<u64>,
    pub(crate) is_dead: bool,
}

/// A runner: its disk, and its connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Runner {
    pub(crate) taken: [u64; TRIES],
    pub(crate) held: Option<Held>,
    pub(crate) session: Option<(usize, u8)>,
}

/// Messages on their way. They stay until their connection ends: what is there can come at any time, in
/// any order, again and again, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Message {
    Assign {
        runner: usize,
        attempt: usize,
        fence: u64,
    },
    Ack {
        runner: usize,
        attempt: usize,
        fence: u64,
        seq: u64,
    },
    Verdict {
        runner: usize,
        attempt: usize,
        fence: u64,
        keeps: bool,
    },
    Event {
        engine: usize,
        runner: usize,
        epoch: u8,
        attempt: usize,
        fence: u64,
        seq: u64,
    },
    Result {
        engine: usize,
        runner: usize,
        epoch: u8,
        attempt: usize,
        fence: u64,
        seq: u64,
        infra: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) tries: Vec<Try>,
    pub(crate) rows: [Row; RUNNERS],
    pub(crate) engines: [Engine; ENGINES],
    pub(crate) runners: [Runner; RUNNERS],
    pub(crate) net: BTreeSet<Message>,
    pub(crate) next_fence: u64,
    /// How often each fence began to run.
    pub(crate) ran: [u8; MAX_FENCE as usize + 1],
    pub(crate) left: Budget,
}

/// The protocol, whole or without one guard.
pub(crate) struct Protocol {
    pub(crate) without: Option<Guard>,
    pub(crate) world: World,
}

// === impl Protocol ===

impl Protocol {
    pub(crate) fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// The store's rule, whether the event counts.
    pub(crate) fn takes(&self, hold: &Hold, fence: u64, seq: u64) -> bool {
        let is_held = hold.is_by(Fence(fence)) || !self.has(Guard::EventFence);
        let is_next = hold.is_next(seq)
            || (!self.has(Guard::NoDuplicates) && seq <= hold.ack_seq)
            || (!self.has(Guard::NoGaps) && seq > hold.ack_seq);
        is_held && is_next
    }

    /// The store's rule, what becomes of a result.
    pub(crate) fn verdict(&self, hold: &Hold, fence: u64, seq: u64) -> ResultVerdict {
        let verdict = hold.verdict(Fence(fence), seq);
        let is_open = matches!(hold.state, AttemptStatus::Assigned | AttemptStatus::Running);
        let forgiven = match verdict {
            ResultVerdict::Need(_) => !self.has(Guard::CompleteResult),
            ResultVerdict::Fenced => !self.has(Guard::ResultFence) && is_open,
            ResultVerdict::Duplicate => !self.has(Guard::OneResult),
            ResultVerdict::Recorded => false,
        };
        if forgiven { ResultVerdict::Recorded } else { verdict }
    }
}

impl Model for Protocol {
    type State = State;

    fn start(&self) -> State {
        State {
            tries: vec![Try::queued()],
            rows: [Row::default(); RUNNERS],
            engines: Default::default(),
            runners: Default::default(),
            net: BTreeSet::new(),
            next_fence: 1,
            ran: Default::default(),
            left: self.world.budget,
        }
    }

    fn next(&self, state: &State) -> Vec<(String, State)> {
        moves::all(self, state)
    }

    fn fault(&self, state: &State) -> Option<String> {
        if let Some(fence) = state.ran.iter().position(|times| *times > 1) {
            return Some(format!("fence {fence} ran twice"));
        }
        state.tries.iter().enumerate().find_map(|(at, one)| one.fault(at)).or_else(|| {
            let lost = |held: &Held| {
                let hold = &state.tries[held.attempt].hold;
                hold.is_by(Fence(held.fence)) && held.dropped > hold.ack_seq
            };
            let found = state.runners.iter().find(|runner| runner.held.as_ref().is_some_and(lost));
            found.map(|_| "a runner forgot what is not stored".to_owned())
        })
    }

    fn is_over(&self, state: &State) -> bool {
        let last = state.tries.last().map(|last| last.hold.state);
        match last {
            Some(AttemptStatus::Done) => true,
            Some(AttemptStatus::Lost) => state.tries.len() == TRIES,
            _ => false,
        }
    }
}

// === impl Try ===

impl Try {
    pub(crate) fn queued() -> Self {
        Self {
            hold: Hold { state: AttemptStatus::Queued, fence: Fence(0), ack_seq: 0 },
            runner: None,
            log: Vec::new(),
            results: 0,
            by: None,
        }
    }

    /// What is wrong with the row.
    fn fault(&self, at: usize) -> Option<String> {
        if self.results > 1 {
            return Some(format!("attempt {at} has two outcomes"));
        }
        if self.hold.state.is_terminal() != (self.results == 1) {
            return Some(format!(
                "attempt {at} is {} with {} outcomes",
                self.hold.state, self.results
            ));
        }
        let numbers = self.log.iter().map(|(_, seq)| *seq);
        if !numbers.eq(1..=self.log.len() as u64) {
            return Some(format!("the log of attempt {at} is {:?}", self.log));
        }
        if self.log.iter().any(|(fence, _)| *fence != self.log[0].0) {
            return Some(format!("two runs are mixed in the log of attempt {at}: {:?}", self.log));
        }
        let by = self.by?;
        let whole = (1..RESULT).map(|seq| (by, seq));
        (!self.log.iter().copied().eq(whole))
            .then(|| format!("attempt {at} ended by fence {by} with the log {:?}", self.log))
    }
}
