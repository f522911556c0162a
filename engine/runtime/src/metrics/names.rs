//! Every metric of plue: name, meaning, unit, labels. A name never changes its meaning.
//!
//! docs/reference/metrics.md lists them for operators.

use super::{Counter, Gauge, Histogram};

/// Evaluations of workflow files that came to a verdict.
pub const EVALUATIONS: Counter = Counter {
    name: "plue_evaluations_total",
    description: "Evaluations of workflow files, all rounds and opinions of a file together, by \
                  trust (own, untrusted) and outcome (plan, invalid, not_deterministic, cpu, \
                  memory, wall, denied, crashed, bad_reply, error)",
};

/// CPU time of evaluations.
pub const EVALUATION_CPU: Histogram = Histogram {
    name: "plue_evaluation_cpu_seconds",
    description: "CPU time of one child of an evaluator, user and system, by trust; a file is \
                  evaluated by two children or more",
    unit: "seconds",
    buckets: &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
};

/// Duration of evaluations of workflow files.
pub const EVALUATION_DURATION: Histogram = Histogram {
    name: "plue_evaluation_duration_seconds",
    description: "Time from fork to end of one child of an evaluator, by trust",
    unit: "seconds",
    buckets: &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0],
};

/// Peak memory of evaluations.
pub const EVALUATION_MEMORY: Histogram = Histogram {
    name: "plue_evaluation_memory_peak_bytes",
    description: "Largest resident memory of one child of an evaluator, with the pages it shares \
                  with its zygote, by trust",
    unit: "bytes",
    buckets: &[
        8_388_608.0,
        12_582_912.0,
        16_777_216.0,
        25_165_824.0,
        33_554_432.0,
        67_108_864.0,
        134_217_728.0,
        268_435_456.0,
        536_870_912.0,
    ],
};

/// Evaluations that were not started.
pub const EVALUATION_REFUSALS: Counter = Counter {
    name: "plue_evaluation_refusals_total",
    description: "Evaluations of untrusted files that were not started, by reason (rate: the \
                  repository's token bucket is empty; busy: too many wait already)",
};

/// Hits of the negative cache.
pub const NEGATIVE_CACHE_HITS: Counter = Counter {
    name: "plue_evaluation_negative_cache_hits_total",
    description: "Untrusted files answered from memory because they were ended by force a short \
                  time ago",
};

/// Hits of the caches of plans.
pub const PLAN_CACHE_HITS: Counter = Counter {
    name: "plue_plan_cache_hits_total",
    description: "Plans that were not evaluated again, by where they were kept (memory, stored)",
};

/// Started zygotes of the evaluator.
pub const ZYGOTE_STARTS: Counter = Counter {
    name: "plue_evaluator_starts_total",
    description: "Evaluator processes (zygotes) that were started, by trust and seed (a, b, third)",
};

/// Zygotes that were replaced.
pub const ZYGOTE_RESTARTS: Counter = Counter {
    name: "plue_evaluator_restarts_total",
    description: "Evaluator processes (zygotes) that were given up and are replaced when next \
                  needed, by trust and reason (uses, age, failed)",
};

/// Evaluations by a third interpreter.
pub const THIRD_OPINIONS: Counter = Counter {
    name: "plue_evaluation_third_opinions_total",
    description: "Untrusted files that were evaluated with a third hash seed, by result (same, \
                  different)",
};

/// Runs that ended, by status.
pub const RUNS_ENDED: Counter = Counter {
    name: "plue_runs_ended_total",
    description: "Runs that this process has driven to an end, by status; one that is retried ends again",
};

/// Duration of runs, from start to end.
pub const RUN_DURATION: Histogram = Histogram {
    name: "plue_run_duration_seconds",
    description: "Time from the creation of a run to its end, waiting included, by status",
    unit: "seconds",
    buckets: &[
        0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
    ],
};

/// Attempts that ended, by outcome.
pub const ATTEMPTS_ENDED: Counter = Counter {
    name: "plue_attempts_ended_total",
    description: "Attempts of steps that ended, by outcome (success, exit, timed_out, cancelled, \
                  refused, failed, rejected, infra)",
};

/// Below a millisecond on a warm machine, minutes where runners are few.
const WAITS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Time of attempts between queue and runner.
pub const ATTEMPT_QUEUE: Histogram = Histogram {
    name: "plue_attempt_queue_seconds",
    description: "Time from an attempt's place in the queue to the runner that has it",
    unit: "seconds",
    buckets: WAITS,
};

/// Time of attempts between queue and start.
pub const ATTEMPT_CLAIM: Histogram = Histogram {
    name: "plue_attempt_claim_seconds",
    description: "Time from an attempt's place in the queue to the start of its process, or of its \
                  work inside the engine",
    unit: "seconds",
    buckets: WAITS,
};

/// Engine time for one transition of a run.
pub const TRANSITION: Histogram = Histogram {
    name: "plue_transition_seconds",
    description: "Time from an input of a run to its effects: decided, committed, handed out",
    unit: "seconds",
    buckets: WAITS,
};

/// Traces of runs, by outcome.
pub const TRACES: Counter = Counter {
    name: "plue_traces_total",
    description: "Traces of ended runs, by outcome (exported, failed: the collector did not take it; \
                  dropped: too many waited)",
};

/// Free bytes of the disk.
pub const DISK_FREE: Gauge = Gauge {
    name: "plue_disk_free_bytes",
    description: "Free bytes of the file system that the state directory is on",
};

/// The low-water mark of the disk.
pub const DISK_LOW: Gauge = Gauge {
    name: "plue_disk_low",
    description: "1 while the disk is so full that runs of forks wait, else 0",
};

/// Runs that are ended from outside of their plan.
pub const RUNS_STOPPED: Counter = Counter {
    name: "plue_runs_stopped_total",
    description: "Runs that this process asked to stop, by reason (superseded: a pull request from a \
                  fork has a newer head; bytes: the run was over its bytes)",
};

/// Counted when the outcome is stored, so that a crash counts none twice.
pub const CLAUDE_CALLS: Counter = Counter {
    name: "plue_claude_calls_total",
    description: "Requests of Claude steps, by outcome (answered, broke: the answer broke off; refused)",
};

/// As reported by the API; an answer that broke off may have reported a part.
pub const CLAUDE_TOKENS: Counter = Counter {
    name: "plue_claude_tokens_total",
    description: "Tokens of Claude steps as the API reported them, by kind (input, output, cache_read, \
                  cache_write)",
};

/// In nanodollars, since counters are whole numbers.
pub const CLAUDE_COST: Counter = Counter {
    name: "plue_claude_cost_nanodollars_total",
    description: "Cost of the answers to Claude steps in billionths of a dollar; answers that broke off \
                  are not in it",
};

/// Deliveries that were refused though they were signed.
pub const DELIVERIES_REFUSED: Counter = Counter {
    name: "plue_deliveries_refused_total",
    description: "Signed deliveries that were not taken, by reason (backlog: too many comments and \
                  issues of the repository wait)",
};

/// Recorded when the answer is stored.
pub const CLAUDE_TURN_COST: Histogram = Histogram {
    name: "plue_claude_turn_cost_dollars",
    description: "Cost of one answer to a Claude step in dollars; answers that broke off are not in it",
    unit: "dollars",
    buckets: &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0],
};

/// Counted when the agent ends for it; a call that became shorter to fit is none.
pub const CLAUDE_REFUSALS: Counter = Counter {
    name: "plue_claude_budget_refusals_total",
    description: "Calls of Claude steps that a budget did not pay for, by budget (step, run, workflow, \
                  repository, organisation)",
};

/// Deliveries that wait to be worked off.
pub const DELIVERIES_WAITING: Gauge = Gauge {
    name: "plue_deliveries_waiting",
    description: "Deliveries that are not worked off, by repository: up to 20 whose deliveries have \
                  waited for 10 s, the rest under `other`",
};

/// The age of the oldest delivery that waits.
pub const DELIVERIES_OLDEST: Gauge = Gauge {
    name: "plue_deliveries_oldest_seconds",
    description: "Age of the oldest delivery that is not worked off, by repository as \
                  plue_deliveries_waiting",
};

/// Idle runners of a pool of pods.
pub const POOL_IDLE: Gauge = Gauge {
    name: "plue_pool_idle_runners",
    description: "Runners of a pool of pods without a run, starting ones included, by pool; reported by \
                  the engine that manages it",
};

/// Idle runners that a pool of pods should have.
pub const POOL_TARGET: Gauge = Gauge {
    name: "plue_pool_target_runners",
    description: "Idle runners that a pool of pods should have now, by pool",
};

/// Runs that wait for a runner of a pool.
pub const POOL_WAITING_RUNS: Gauge = Gauge {
    name: "plue_pool_waiting_runs",
    description: "Runs of all engines that wait for a runner of a pool of pods, by pool",
};

/// Pools that cannot grow.
pub const POOL_DEGRADED: Gauge = Gauge {
    name: "plue_pool_degraded",
    description: "1 while a pool of pods has fewer runners than it should and cannot get them, by pool; \
                  `plue pool status` has the reason",
};

/// Disagreements of rows, pods and sessions.
pub const POOL_DRIFT: Counter = Counter {
    name: "plue_pool_drift_total",
    description: "Disagreements between rows, pods and sessions that a pass found, by class \
                  (row_without_pod, pod_without_row, uid_mismatch, terminal_pod, dead_session, \
                  foreign_pod)",
};

/// All counters, for descriptions in the exposition.
pub const COUNTERS: &[Counter] = &[
    EVALUATIONS,
    EVALUATION_REFUSALS,
    NEGATIVE_CACHE_HITS,
    PLAN_CACHE_HITS,
    ZYGOTE_STARTS,
    ZYGOTE_RESTARTS,
    THIRD_OPINIONS,
    RUNS_ENDED,
    ATTEMPTS_ENDED,
    TRACES,
    RUNS_STOPPED,
    CLAUDE_CALLS,
    CLAUDE_TOKENS,
    CLAUDE_COST,
    DELIVERIES_REFUSED,
    CLAUDE_REFUSALS,
    POOL_DRIFT,
];

/// All gauges, to be described to the exporter.
pub const GAUGES: &[Gauge] = &[
    DISK_FREE,
    DISK_LOW,
    DELIVERIES_WAITING,
    DELIVERIES_OLDEST,
    POOL_IDLE,
    POOL_TARGET,
    POOL_WAITING_RUNS,
    POOL_DEGRADED,
];

/// All histograms, for descriptions in the exposition.
pub const HISTOGRAMS: &[Histogram] = &[
    EVALUATION_CPU,
    EVALUATION_DURATION,
    EVALUATION_MEMORY,
    RUN_DURATION,
    ATTEMPT_QUEUE,
    ATTEMPT_CLAIM,
    TRANSITION,
    CLAUDE_TURN_COST,
];
