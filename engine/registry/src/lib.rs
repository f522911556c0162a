//! Which plans an event starts, and when a schedule is due. Pure: events, plans, changed files and
//! the time come as arguments.
//!
//! Must not await, do I/O, read a clock, or know a forge. Reading order: [`happening`], [`matching`],
//! [`glob`], [`schedule`].
#![forbid(unsafe_code)]

pub mod conclusion;
mod condition;
pub mod glob;
pub mod happening;
pub mod matching;
pub mod schedule;
pub mod skip;
pub mod spelled;
mod synonym;
pub mod why_not;

pub use crate::{
    conclusion::{Conclusion, conclude},
    glob::{BadPattern, Patterns},
    happening::{Changed, Happening},
    matching::{Verdict, decide, verdicts},
    schedule::{Due, MAX_CATCH_UP, ScheduleError, due, next},
    spelled::spelled,
    why_not::WhyNot,
};
