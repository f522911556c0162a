//! The fault points of a scenario, counted as they are passed: a first, undisturbed run counts
//! them, and each further run injects one fault at one of them.
//!
//! Must not know the operation at a point.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// Kinds of faults at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The effect is missing, and its requester gets an error or finds out: a call of the store
    /// fails, a message is lost with its connection.
    Fails,
    /// It is there twice.
    Duplicated,
    /// The effect is late.
    Delayed,
    /// The engine crashes here.
    EngineDies,
    /// The runner crashes here, with the processes of its steps.
    RunnerDies,
}

/// Location of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultPoint {
    /// Before a call of the store is made.
    Before(&'static str),
    /// After a write was committed, before anybody knows.
    After(&'static str),
    /// A message of the engine reaches the runner.
    ToRunner(&'static str),
    /// A message of the runner is about to be sent.
    FromRunner(&'static str),
}

/// Counts fault points and selects the disturbed ones.
#[derive(Debug)]
pub struct Points {
    seen: Mutex<Vec<FaultPoint>>,
    /// Point, occurrence and kind of the fault. One fault per run: random tests combine several.
    fault: Option<(FaultPoint, usize, Fault)>,
    always: Option<(FaultPoint, Fault)>,
    hit: watch::Sender<bool>,
}

// === impl Fault ===

impl Fault {
    /// All kinds of faults.
    pub const ALL: &'static [Self] =
        &[Self::Fails, Self::Duplicated, Self::Delayed, Self::EngineDies, Self::RunnerDies];

    /// True if it can happen at this point.
    #[must_use]
    pub fn fits(self, place: &FaultPoint) -> bool {
        match (self, place) {
            // A crash before a read is a crash after the point before it.
            (fault, FaultPoint::Before("read")) => fault == Self::Fails,
            (Self::EngineDies, _) => true,
            // A commit whose answer is lost is done again: that is the duplicate of a write.
            (Self::Fails, FaultPoint::Before(_) | FaultPoint::After(_))
            | (Self::Delayed, FaultPoint::Before(_)) => true,
            (Self::Duplicated | Self::RunnerDies, FaultPoint::Before(_) | FaultPoint::After(_))
            | (Self::Delayed, FaultPoint::After(_)) => false,
            (
                Self::Fails | Self::Duplicated | Self::Delayed | Self::RunnerDies,
                FaultPoint::ToRunner(_) | FaultPoint::FromRunner(_),
            ) => true,
        }
    }
}

// === impl FaultPoint ===

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(name) => write!(f, "before {name}"),
            Self::After(name) => write!(f, "after {name}"),
            Self::ToRunner(name) => write!(f, "{name} to the runner"),
            Self::FromRunner(name) => write!(f, "{name} from the runner"),
        }
    }
}

// === impl Points ===

impl Points {
    /// Nothing goes wrong, or one thing at one place.
    #[must_use]
    pub fn new(fault: Option<(FaultPoint, usize, Fault)>) -> Self {
        Self { seen: Mutex::default(), fault, always: None, hit: watch::Sender::new(false) }
    }

    /// The same goes wrong at the same place every time.
    #[must_use]
    pub fn always(place: FaultPoint, fault: Fault) -> Self {
        Self { always: Some((place, fault)), ..Self::new(None) }
    }

    /// Passes a place; what goes wrong there, if anything.
    pub fn pass(&self, place: FaultPoint) -> Option<Fault> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.iter().filter(|passed| **passed == place).count();
        let fault = self.fault.as_ref().filter(|(at, times, _)| *at == place && *times == before);
        let always = self.always.as_ref().filter(|(at, _)| *at == place).map(|(_, fault)| *fault);
        let fault = fault.map(|(_, _, fault)| *fault).or(always);
        seen.push(place);
        if fault.is_some() {
            self.hit.send_replace(true);
        }
        fault
    }

    /// The places passed so far.
    #[must_use]
    pub fn seen(&self) -> Vec<FaultPoint> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if the fault has happened.
    #[must_use]
    pub fn was_hit(&self) -> bool {
        *self.hit.borrow()
    }
}
