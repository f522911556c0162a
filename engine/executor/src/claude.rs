//! Claude steps: the engine calls the model, and an attendant process on a runner carries out tool calls.
//!
//! The state machine of `plue_llm::agent` decides; its effects are performed here: requests, tool calls,
//! reservations of money, the transcript. The key stays in this process.

use std::{fmt, sync::Arc};

use plue_llm::{Client, PicoUsd, PriceList};

pub(crate) mod agent_run;
pub(crate) mod approvals;
pub(crate) mod assignment;
mod conversation;
pub(crate) mod delegate;
pub(crate) mod log_view;
pub(crate) mod mcp;
mod metrics;
pub(crate) mod replay;
pub(crate) mod spending;
pub(crate) mod step_tool;
pub(crate) mod team;
pub(crate) mod tool;
pub(crate) mod tool_calls;
pub mod trial;
pub(crate) mod workflow_tool;

/// The model of steps, unless they, their prompt, their role or the operator set one.
pub const DEFAULT_MODEL: &str = "claude-sonnet-5-5";

/// Client, default model, prices, masks and limits of Claude steps.
#[derive(Clone)]
pub struct Claude {
    /// Client of the API; holds the key. `None`: only replays perform Claude steps.
    pub client: Option<Client>,
    /// Model of steps for which step, prompt and role name none.
    pub model: String,
    /// Prices by model; a step whose model has no price is refused.
    pub prices: Arc<PriceList>,
    /// Hosts that `fetch` may reach if the step names none.
    pub fetch_hosts: Vec<String>,
    /// Texts that are masked in transcripts: the key.
    pub masks: Vec<Vec<u8>>,
    /// Limits of spending beyond those of plans.
    pub limits: SpendLimits,
}

/// Limits of spending on Claude that hold for every workflow, repository and organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpendLimits {
    /// Of one workflow of one repository, with the child runs of its runs.
    pub workflow: PeriodLimits,
    /// Limits of one repository's runs.
    pub repository: PeriodLimits,
    /// Of all repositories of one owner.
    pub organisation: PeriodLimits,
}

/// Limits of spending in periods; `None`: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeriodLimits {
    /// In a day (UTC).
    pub day: Option<PicoUsd>,
    /// In a month (UTC).
    pub month: Option<PicoUsd>,
}

/// The masks are omitted: they hold the key.
impl fmt::Debug for Claude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Claude");
        debug.field("client", &self.client).field("model", &self.model).finish_non_exhaustive()
    }
}

/// The message of a step whose prompt and tools are those of a fork's author.
pub(crate) fn untrusted() -> String {
    format!(
        "{}: Claude steps of pull requests from forks are not performed; push the commit to a branch of \
         the repository",
        plue_llm::codes::UNTRUSTED
    )
}

/// The reason why a step needs a key, without its code.
pub(crate) const NO_KEY: &str = "this step needs a key for Claude; set ANTHROPIC_API_KEY for the plue \
                                 process (never in a step), then `plue retry last`";

/// The message of a step without a key.
pub(crate) fn no_key() -> String {
    format!("{}: {NO_KEY}", plue_llm::codes::NO_KEY)
}

#[cfg(test)]
mod tests {
    #[test]
    fn signed_reasoning_is_hidden_from_readers() {
        assert_eq!(plue_llm::answer::SIGNED_TEXT, plue_store::HIDDEN_FIELD);
    }
}
