//! One agent as a pure machine: inputs become facts, facts the state, the state the next effect.
//!
//! The facts are the transcript of the step; folded again after a crash they give the same state.
//! Must not await, do I/O, read a clock, or know a price: time and money enter as inputs.

mod approval;
mod calls;
mod conversation;
mod end;
mod fact;
mod guard;
mod state;
mod task;
#[cfg(test)]
mod tests;

pub use self::{
    approval::{Held, shown_arguments},
    calls::Call,
    end::{Divergence, End, EndReason},
    fact::{Decision, Fact, Input, Rejected, StartedRun},
    state::{Agent, Effect, Totals},
    task::{ApprovalRules, Children, Limits, Task},
};

/// Calls of one answer that are carried out; the others are answered with an error.
pub const MAX_CALLS: usize = 64;
/// Agents that the agent of a step may start, one after the other or at the same time.
pub const MAX_AGENTS: u32 = 16;
/// Agents that an agent which another one started may start. Those start none.
pub const MAX_AGENTS_BELOW: u32 = 4;
/// Runs of workflows that an agent may start.
pub const MAX_RUNS: usize = 16;
/// Default limit of turns; the step, its prompt or its role may override it.
pub const DEFAULT_TURNS: u32 = 50;
/// Default limit of output tokens of a turn; the step, its prompt or its role may override it.
pub const DEFAULT_MAX_TOKENS: u32 = 16_000;
/// The same call with the same result, so many times without anything new, ends the agent.
pub const REPEATS: u32 = 3;
/// Answers in a row that may break off.
pub const MAX_BREAKS: u32 = 2;
/// Answers in a row whose tool call `max_tokens` cut.
pub const MAX_CUTS: u32 = 1;
/// Bytes of the messages of one conversation; the API takes requests of 32 MB.
pub const MAX_CONVERSATION_BYTES: usize = 24 << 20;
/// Calls of one answer that people are asked about; further ones are answered with an error.
pub const MAX_HELD: usize = 16;
/// Bytes of a call's arguments as a person is shown them; a longer call is answered with an error.
pub const MAX_SHOWN_BYTES: usize = 16 << 10;
/// Default wait for the decision on a call: 7 days.
pub const APPROVAL_SECONDS: u64 = 7 * 24 * 3_600;
