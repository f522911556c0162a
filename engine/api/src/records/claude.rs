//! Tokens and money of Claude steps.

use plue_store::usage::claude::{Spend, StepSpend};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Picodollars of a dollar.
const DOLLAR: f64 = 1e12;

/// Use of Claude: of one step over all its visits and attempts, of a run, or of several runs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClaudeUsageRecord {
    /// Requests, those without an answer too.
    pub calls: u64,
    /// Input tokens, without those of the cache.
    pub input_tokens: u64,
    /// Output tokens, with those of reasoning.
    pub output_tokens: u64,
    /// Input tokens that were read from the cache.
    pub cache_read_tokens: u64,
    /// Input tokens that were written to the cache.
    pub cache_write_tokens: u64,
    /// Cost in dollars. A request whose cost is not known (yet) counts with its reservation.
    pub cost_usd: f64,
}

// === impl ClaudeUsageRecord ===

impl ClaudeUsageRecord {
    /// The record of sums.
    #[must_use]
    pub fn of(spend: &Spend) -> Self {
        Self {
            calls: spend.calls,
            input_tokens: spend.input_tokens,
            output_tokens: spend.output_tokens,
            cache_read_tokens: spend.cache_read_tokens,
            cache_write_tokens: spend.cache_write_tokens,
            cost_usd: spend.cost as f64 / DOLLAR,
        }
    }

    /// The sum of these steps; none if there is no step.
    #[must_use]
    pub fn sum(spends: &[StepSpend]) -> Option<Self> {
        let sum = spends.iter().map(|step| step.spend).reduce(Spend::plus)?;
        Some(Self::of(&sum))
    }

    /// The use of one step.
    #[must_use]
    pub fn of_step(spends: &[StepSpend], step: &str) -> Option<Self> {
        spends.iter().find(|spend| spend.step == step).map(|step| Self::of(&step.spend))
    }
}
