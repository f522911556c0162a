//! Codes `PLUE-L…` of Claude steps.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    NO_KEY = "PLUE-L0001", "a Claude step has no key";
    TURNS = "PLUE-L0002", "a Claude step used up its turns";
    TOKENS = "PLUE-L0003", "a Claude step used up its tokens";
    BUDGET = "PLUE-L0004", "a budget does not pay for the next call of Claude";
    LOOP = "PLUE-L0005", "the model repeats the same tool call";
    REFUSAL = "PLUE-L0006", "the model declined";
    CUT = "PLUE-L0007", "an answer was longer than its token limit";
    CONTEXT = "PLUE-L0008", "a conversation is longer than it may be";
    API = "PLUE-L0009", "the Claude API did not answer";
    OUTPUT = "PLUE-L0010", "the model's output does not fit its schema";
    NO_PRICE = "PLUE-L0011", "a model has no known price";
    UNKNOWN_TOOL = "PLUE-L0012", "a Claude step names a tool that does not exist";
    BAD_PROMPT = "PLUE-L0013", "the prompt of a Claude step cannot be made";
    UNTRUSTED = "PLUE-L0014", "a Claude step of a pull request from a fork is not performed";
    FETCH_HOSTS = "PLUE-L0015", "the tool `fetch` of a Claude step has no usable host";
    REPLAY = "PLUE-L0016", "a replay differs from its recording";
    MCP_CHANGED = "PLUE-L0017", "the tools of an MCP server are not those that were accepted";
    MCP = "PLUE-L0018", "an MCP server of a Claude step cannot be used";
    AGENT_TOOL = "PLUE-L0020", "a tool that starts an agent cannot be used as it is written";
    STEP_TOOL = "PLUE-L0021", "a step of the plan cannot be a tool of a Claude step";
    WORKFLOW_TOOL = "PLUE-L0022", "a workflow cannot be a tool of a Claude step";
    MCP_LOGIN = "PLUE-L0023", "an MCP server of a Claude step demands a login";
}

/// Codes of limits: what ends with one of them has exit code 7.
pub const LIMITS: [plue_plan::Code; 4] = [TURNS, TOKENS, BUDGET, LOOP];

/// The code of the limit that the reason of a step begins with, and the text behind it.
#[must_use]
pub fn limit(reason: &str) -> Option<(plue_plan::Code, &str)> {
    LIMITS.into_iter().find_map(|code| {
        let rest = reason.strip_prefix(&format!("{code}: "))?;
        Some((code, rest))
    })
}
