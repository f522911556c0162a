//! What the forge of a repository is told of its commits: a status or check for each plan, one that
//! stands for all, and on a pull request one comment with what it does to the plans.
//!
//! What there is to tell is stored beside the runs (`content`, with what `compare` found), how each plan
//! stands is read from the
//! store when it is told (`standing`), and an outbox of which only the newest state counts brings it to
//! the forge (`tell`). Must not decide what runs.

mod compare;
mod content;
mod standing;
mod tell;

pub(crate) use compare::{BasePlan, Before};
pub(crate) use content::{Content, Entry, Fate, words};
