//! Matching of events with the triggers of plans, and due times of schedules. Pure: events, plans,
//! changed files and
//! the time come as arguments.
//!
//! Must not await, do I/O, read a clock, or know a forge. Reading order: [`match_input`], [`matching`],
//! [`glob`], [`schedule`].
#![forbid(unsafe_code)]

mod condition;
pub mod glob;
pub mod match_input;
pub mod matching;
pub mod schedule;
pub mod skip;
pub mod spelled;
mod synonym;
pub mod trigger_match;
pub mod why_not;

pub use crate::{
    glob::{BadPattern, Patterns},
    match_input::{Changed, MatchInput},
    matching::{TriggerVerdict, decide, verdicts},
    schedule::{Due, MAX_CATCH_UP, ScheduleError, due, next},
    spelled::spelled,
    trigger_match::{TriggerMatch, match_triggers},
    why_not::WhyNot,
};
