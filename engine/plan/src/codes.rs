//! The catalogue of codes: every problem that this crate reports, one line each.
//!
//! A code never changes its meaning and is never used again. Each has a page in `docs/errors/`; a
//! test compares the two. Must not hold the texts of messages: those stand where they are reported.

crate::error_codes! {
    NOT_CANONICAL = "PLUE-P0001", "the plan cannot be written as canonical JSON";
    IR_TOO_LARGE = "PLUE-P0002", "the plan is larger than the limit";
    NOT_A_PLAN = "PLUE-P0003", "the bytes are no plan: not JSON, an unknown key, a missing or mistyped field";
    DUPLICATE_KEY = "PLUE-P0004", "a JSON object has the same key twice";
    VALUE_TOO_DEEP = "PLUE-P0005", "a value is nested deeper than the limit";
    WRONG_VERSION = "PLUE-P0006", "the plan has an IR version that this plue does not read";
    NAME_LENGTH = "PLUE-P0007", "a name is empty or too long";
    DESCRIPTION_LENGTH = "PLUE-P0008", "a description or goal is too long";
    FORBIDDEN_CHARACTER = "PLUE-P0009", "a name or description holds a control or bidirectional-format character";
    BAD_ID = "PLUE-P0010", "a step id breaks the rule for ids";
    DUPLICATE_ID = "PLUE-P0011", "two steps have the same id";
    UNKNOWN_DEPENDENCY = "PLUE-P0012", "a step depends on a step that does not exist";
    SELF_DEPENDENCY = "PLUE-P0013", "a step depends on itself";
    DUPLICATE_DEPENDENCY = "PLUE-P0014", "a step names the same dependency twice";
    CYCLE = "PLUE-P0015", "steps depend on each other in a circle";
    NO_STEPS = "PLUE-P0016", "the plan has no steps";
    TOO_MANY_STEPS = "PLUE-P0017", "the plan has more steps than the limit";
    TOO_MANY_TRIGGERS = "PLUE-P0018", "the plan has more triggers than the limit";
    TOO_MANY_DEPENDENCIES = "PLUE-P0019", "a step has more dependencies than the limit";
    TEXT_TOO_LARGE = "PLUE-P0020", "a script, prompt or message is larger than the limit";
    EXPRESSION_TOO_LARGE = "PLUE-P0021", "an expression is larger than the limit";
    EMPTY_COMMAND = "PLUE-P0022", "a command, script, prompt or name that must not be empty is empty";
    NUL_CHARACTER = "PLUE-P0023", "a text holds the character NUL";
    BAD_DURATION = "PLUE-P0024", "a text is no duration, or a duration is zero or too long";
    BAD_CRON = "PLUE-P0025", "a schedule is no five-field cron expression";
    BAD_TIME_ZONE = "PLUE-P0026", "a time zone is not in the IANA database";
    BAD_PATTERN = "PLUE-P0027", "a branch, tag or path pattern is malformed";
    PATTERN_TOO_LONG = "PLUE-P0028", "a branch, tag or path pattern is longer than the limit";
    BAD_EXPRESSION = "PLUE-P0029", "an expression or template does not parse";
    NOT_UPSTREAM = "PLUE-P0030", "an expression reads a step that need not have ended";
    UNKNOWN_REFERENCE = "PLUE-P0031", "an expression reads a step, input or context key that does not exist";
    BAD_SECRET_NAME = "PLUE-P0032", "a secret has a name of the wrong shape";
    BAD_ENV_NAME = "PLUE-P0033", "an environment variable has a name of the wrong shape, or a reserved one";
    UNKNOWN_GOTO = "PLUE-P0034", "a Goto names a step that does not exist";
    UNREACHABLE_GOTO = "PLUE-P0035", "a Goto leads to a step that is not upstream";
    MISSING_MAX_VISITS = "PLUE-P0036", "a Goto has no `max_visits`";
    MAX_VISITS_RANGE = "PLUE-P0037", "the `max_visits` of a Goto is out of range";
    RETRY_ATTEMPTS = "PLUE-P0038", "the `max_attempts` of a retry is out of range";
    RETRY_JITTER = "PLUE-P0039", "the `jitter` of a retry is out of range";
    RETRY_ON = "PLUE-P0040", "a retry names a kind of failure that does not exist";
    PYTHON_SOURCE = "PLUE-P0041", "a `python` step has not exactly one of `code` and `script`";
    PYTHON_CALL = "PLUE-P0042", "the `call` of a `python` step has no `code` or is no function name";
    WORKFLOW_SOURCE = "PLUE-P0043", "a `workflow` step has not exactly one of `workflow` and `plan`";
    WAIT_SOURCE = "PLUE-P0044", "a `wait` step has not exactly one of `event` and `duration`";
    BAD_QUORUM = "PLUE-P0045", "the quorum of an approval can never be reached";
    BAD_PARTIES = "PLUE-P0046", "a negotiation has fewer than two different parties, or no round";
    BAD_ACCEPT = "PLUE-P0047", "the `accept` of a negotiation is none of `all`, `quorum:k` and `owner`";
    LLM_LIMIT = "PLUE-P0048", "`max_turns` or `max_tokens` of an `llm` step is zero";
    BAD_TOOL = "PLUE-P0049", "the name of a tool is malformed";
    BAD_BUDGET = "PLUE-P0050", "a budget is negative, not finite or not exact";
    BAD_MAX_PARALLEL = "PLUE-P0051", "`max_parallel` is zero";
    DEPENDS_ON_HOOK = "PLUE-P0052", "a step depends on a hook";
    HOOK_DEPENDENCY = "PLUE-P0053", "a hook depends on a step outside its own list";
    BAD_REFERENCE = "PLUE-P0054", "an object with a `$` key is no expression, template or secret";
    NUMBER_NOT_EXACT = "PLUE-P0055", "a number cannot be written exactly in canonical JSON";
    BAD_PATH = "PLUE-P0056", "a path is empty, absolute or leaves the workspace";
    BAD_RUNNER = "PLUE-P0057", "the name of a runner pool is malformed";
    BAD_IMAGE = "PLUE-P0058", "the name of a container image is malformed";
    BAD_SCHEMA = "PLUE-P0059", "a JSON Schema is malformed";
    REMOTE_REF = "PLUE-P0060", "a JSON Schema refers to another document";
    BAD_INPUT = "PLUE-P0061", "the default or a choice of an input does not fit the input";
    BAD_NAME = "PLUE-P0062", "the name of an input, output, context key, prompt, role, plugin or endpoint is malformed";
    BAD_SHELL = "PLUE-P0063", "the shell of a `bash` step is neither `bash` nor `sh`";
    BAD_METHOD = "PLUE-P0064", "the HTTP method of a `call` step is malformed";
    BAD_URL = "PLUE-P0065", "the URL of a `call` step is malformed";
    BAD_PROMPT = "PLUE-P0066", "the prompt of an `llm` step is neither text nor a prompt file";
    BAD_OUTCOME = "PLUE-P0067", "a trigger waits for an outcome that no run has";
    BAD_SERVICE = "PLUE-P0068", "a service has no port of its own";
    BAD_RESOURCE = "PLUE-P0069", "a resource is neither a positive number nor a text";
    REQUIRED_STEP = "PLUE-P0070", "`required` stands at a step that is no hook";
    MORE_PROBLEMS = "PLUE-P0071", "there are more problems than are listed";
    UNBOUNDED_SCHEMA = "PLUE-P0072", "no bound of a JSON Schema's work can be shown";
    SCHEMA_TOO_COSTLY = "PLUE-P0073", "judging a value by a JSON Schema would take too long";
    SECRET_ARGUMENT = "PLUE-P0077", "a secret stands among the arguments of a Python step";
    UNSAVABLE_CACHE = "PLUE-P0078", "nothing can be saved under a path of a cache";
    NO_CONTAINERS = "PLUE-P0080", "a plan or step names a container image, and no containers are started";
    BAD_SECRET_SOURCE = "PLUE-P0081", "the source of a secret is neither `env:NAME` nor `file:PATH`";
    SECRET_AS_NAME = "PLUE-P0082", "the name of a step is a secret";
    APPROVE_WITHOUT_TOOL = "PLUE-P0083", "`approve` names a call that the step's `tools` do not offer";
    BAD_MCP = "PLUE-P0084", "an MCP server of a Claude step is malformed";
    UNWRITABLE_KEY = "PLUE-P0085", "a step writes a context key that is not declared, or is a hook";
    UNMERGED_WRITERS = "PLUE-P0086", "two steps that may run at the same time write a context key without a reducer";
    CONTEXT_MISFIT = "PLUE-P0087", "the value that a step put out does not fit the type of its context key";
    BAD_FORGE = "PLUE-P0088", "a `forge` step is not as it must be written";
}

#[cfg(test)]
pub(crate) mod tests;
