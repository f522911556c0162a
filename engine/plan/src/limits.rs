//! Every limit of a plan, as a named constant. Each has its own error code and a test.

/// Steps in a plan, hooks included.
pub const MAX_STEPS: usize = 5_000;
/// Triggers in a plan.
pub const MAX_TRIGGERS: usize = 1_000;
/// Bytes of the canonical IR.
pub const MAX_IR_BYTES: usize = 16 * 1024 * 1024;
/// Values in the IR: keys, list entries and what they hold.
pub const MAX_IR_VALUES: usize = 1_000_000;
/// Bytes of one script (`run`, `code`) or prompt.
pub const MAX_SCRIPT_BYTES: usize = 1024 * 1024;
/// Bytes of one expression.
pub const MAX_EXPRESSION_BYTES: usize = 64 * 1024;
/// Dependencies of one step.
pub const MAX_DEPENDENCIES: usize = 256;
/// Characters of a step id, an input name or an output name.
pub const MAX_ID_LEN: usize = 128;
/// Characters of a name.
pub const MAX_NAME_LEN: usize = 256;
/// Characters of a description or goal.
pub const MAX_DESCRIPTION_LEN: usize = 4_096;
/// Characters of a branch, tag or path pattern.
pub const MAX_PATTERN_LEN: usize = 1_024;
/// Nesting of JSON values inside a plan (prompt inputs, schemas, plugin configuration).
pub const MAX_VALUE_DEPTH: usize = 64;
/// Longest duration, in seconds: 366 days. Longer waits are schedules.
pub const MAX_DURATION_S: u64 = 366 * 24 * 3_600;
/// Tries of one step in one visit.
pub const MAX_ATTEMPTS: u32 = 100;
/// Visits of one step through loops.
pub const MAX_VISITS: u32 = 1_000;
/// Plans that one workflow file may return.
pub const MAX_PLANS_PER_FILE: usize = 256;
/// Bytes of one step's output (`$PLUE_OUTPUT`).
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// Bytes of stdout that become the output of a step that wrote no `$PLUE_OUTPUT`.
pub const MAX_STDOUT_OUTPUT_BYTES: usize = 64 * 1024;
