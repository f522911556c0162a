//! Metrics of model calls, recorded after the calls are stored.

use plue_llm::{PicoUsd, Usage};
use plue_runtime::metrics::names;

/// Picodollars of a nanodollar.
const NANO: u64 = 1_000;
/// Picodollars of a dollar.
const DOLLAR: f64 = 1e12;

/// Records a stored call. Costs are rounded down to nanodollars.
pub(super) fn call(outcome: &'static str, usage: &Usage, cost: Option<PicoUsd>) {
    names::CLAUDE_CALLS.increment(&[("outcome", outcome)]);
    let kinds = [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_input_tokens),
        ("cache_write", usage.cache_creation_input_tokens),
    ];
    for (kind, tokens) in kinds {
        names::CLAUDE_TOKENS.add(tokens.unwrap_or(0), &[("kind", kind)]);
    }
    names::CLAUDE_COST.add(cost.map_or(0, |cost| cost.0 / NANO), &[]);
    if let Some(cost) = cost {
        #[expect(clippy::cast_precision_loss, reason = "buckets are coarser")]
        names::CLAUDE_TURN_COST.record(cost.0 as f64 / DOLLAR, &[]);
    }
}
