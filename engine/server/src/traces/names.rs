//! The names of OpenTelemetry's conventions for CI/CD (status: development) that plue uses. They change;
//! this is their only place.

pub use opentelemetry_semantic_conventions::attribute::{
    CICD_PIPELINE_ACTION_NAME, CICD_PIPELINE_NAME, CICD_PIPELINE_RESULT, CICD_PIPELINE_RUN_ID,
    CICD_PIPELINE_RUN_STATE, CICD_PIPELINE_RUN_URL_FULL, CICD_PIPELINE_TASK_NAME,
    CICD_PIPELINE_TASK_RUN_ID, CICD_PIPELINE_TASK_RUN_RESULT, CICD_PIPELINE_TASK_RUN_URL_FULL,
    CICD_PIPELINE_TASK_TYPE, CICD_WORKER_ID, ERROR_TYPE, SERVICE_INSTANCE_ID, SERVICE_NAME,
    SERVICE_VERSION, VCS_CHANGE_ID, VCS_REF_BASE_NAME, VCS_REF_BASE_TYPE, VCS_REF_HEAD_NAME,
    VCS_REF_HEAD_REVISION, VCS_REF_HEAD_TYPE, VCS_REPOSITORY_NAME,
};

/// `{action}` of a run's span: the pipeline is run.
pub const ACTION: &str = "RUN";

/// Names that the conventions have none for.
pub mod own {
    /// The hash of the plan.
    pub const PLAN: &str = "plue.plan.hash";
    /// Type of the event that started the run: `push`, `schedule`, `manual`, …
    pub const EVENT: &str = "plue.event.type";
    /// Number of visits of the step so far, counting loops.
    pub const VISIT: &str = "plue.step.visit";
    /// Id of the transcript of an agent that another one started.
    pub const AGENT: &str = "plue.agent.id";
    /// The number of the attempt in its visit.
    pub const NUMBER: &str = "plue.attempt.number";
    /// The exit status of a process.
    pub const EXIT_CODE: &str = "process.exit.code";
    /// Number of times that the run had ended before.
    pub const RETRY: &str = "plue.run.retry";
    /// Number of calls of models.
    pub const CALLS: &str = "plue.claude.calls";
    /// Cost of calls in billionths of a dollar; those of unknown cost count with their reservation.
    pub const COST: &str = "plue.claude.cost_nanodollars";
    /// An event of an attempt's span: a runner has started it.
    pub const STARTED: &str = "plue.attempt.started";
}

/// Names of OpenTelemetry's conventions for generative AI (status: development), whose constants in the
/// crate are deprecated without successors.
pub mod gen_ai {
    /// The kind of request: [`CHAT`].
    pub const OPERATION: &str = "gen_ai.operation.name";
    /// Messages to a model.
    pub const CHAT: &str = "chat";
    /// The provider of the API: [`ANTHROPIC`].
    pub const PROVIDER: &str = "gen_ai.provider.name";
    /// Any Messages-compatible API, also one of another base URL.
    pub const ANTHROPIC: &str = "anthropic";
    /// Id of the called model.
    pub const MODEL: &str = "gen_ai.request.model";
    /// Input tokens, those of the cache included.
    pub const INPUT: &str = "gen_ai.usage.input_tokens";
    /// Output tokens, reasoning included.
    pub const OUTPUT: &str = "gen_ai.usage.output_tokens";
    /// Input tokens that were read from the cache.
    pub const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
    /// Input tokens that were written to the cache.
    pub const CACHE_WRITE: &str = "gen_ai.usage.cache_creation.input_tokens";
}

/// Well-known values of `cicd.pipeline.result` and `cicd.pipeline.task.run.result`.
pub mod result {
    /// The run or step succeeded.
    pub const SUCCESS: &str = "success";
    /// Not well, by what the author or the code under test did.
    pub const FAILURE: &str = "failure";
    /// Not well, by what plue or its machines did.
    pub const ERROR: &str = "error";
    /// A time limit ended it.
    pub const TIMEOUT: &str = "timeout";
    /// A user cancelled it.
    pub const CANCELLATION: &str = "cancellation";
}

/// Well-known values of `cicd.pipeline.run.state`, as events of a run's span.
pub mod state {
    /// Nothing has started yet.
    pub const PENDING: &str = "pending";
    /// At least one step has started.
    pub const EXECUTING: &str = "executing";
}
