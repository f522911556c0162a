//! Resources of a server: repositories, secrets by name, schedules, runners, usage.
//!
//! Must not hold a secret.

use std::collections::HashMap;

use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_store::{
    DeliverySummary, QueueRow, RepoRow, RunnerKind, RunnerRow, RunnerState, UsageBy, UsageRow,
    delivery::Dispatch, pool::PoolRow, secret::SecretRow,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::records::{claude::ClaudeUsageRecord, workflow::PauseRecord};

/// Runs by id: their status and its reason.
type RunStatuses = HashMap<RunId, (RunStatus, Option<String>)>;

/// A watched repository and the health of its forge's deliveries.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RepoRecord {
    /// `owner/name`.
    pub name: String,
    /// `local`, `github`, `gitlab`, `gitea` or `forgejo`.
    pub forge: String,
    /// The address that it is fetched from.
    pub url: String,
    /// Its default branch; workflows of other branches get no schedule.
    pub default_branch: String,
    /// The path of its webhook on the server; absent: it is local, or the caller may not change it.
    pub webhook: Option<String>,
    /// RFC 3339.
    pub added_at: Timestamp,
    /// The forge's immutable id of it; absent: no delivery had it yet.
    #[serde(default)]
    pub forge_id: Option<String>,
    /// Result of the newest delivery: `done`, or `ignored: ` and the reason; absent: none came.
    #[serde(default)]
    pub last_delivery: Option<String>,
    /// Problems that the operator must solve.
    #[serde(default)]
    pub problem: Option<String>,
    /// The name of its hooks, for commands of the machine where it is: they are files there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub hook: Option<String>,
}

/// The secret that verifies calls of a repository's named webhooks.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct CallSecretRecord {
    /// A generated secret, shown this once; absent: the caller brought its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Something that came for a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryRecord {
    /// Its source: `github`, `gitlab`, `gitea`, `forgejo`; `local`, a push on the server's machine;
    /// `webhook`, `event`; `workflow`, the end of a run; `schedule`, a tick.
    pub source: String,
    /// The sender's id of it.
    pub id: String,
    /// RFC 3339.
    pub received_at: Timestamp,
    /// `new`, `done`, `ignored` or `failed`.
    pub state: String,
    /// A line for each plan: the run it made, or the reason for making none. While it is `new`: the
    /// error of
    /// the last try.
    pub note: Option<String>,
    /// Number of failed tries for a reason that may pass.
    #[serde(default)]
    pub tries: u32,
    /// RFC 3339; when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Its result for each workflow with a trigger for events of its type, runs first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<DispatchRecord>,
    /// The workflows without a trigger for events of its type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_trigger: Vec<String>,
}

/// Result of a delivery for one workflow.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DispatchRecord {
    /// Name of the plan.
    pub workflow: String,
    /// The path of the workflow file.
    pub file: String,
    /// `run`, `skipped` (a filter of its triggers does not match), `held` (a maintainer must allow the
    /// commit), `paused`, `refused` (the sender may not start it) or `invalid`.
    pub result: String,
    /// The reason, where no run was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The status of that run now, and why it has it: `cancelled: …`; absent: the run is not kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A secret, without its text.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretRecord {
    /// Its name, as workflows refer to it.
    pub name: String,
    /// The repository whose steps may name it; absent: all of them.
    pub repository: Option<String>,
    /// The master key that it depends on.
    pub key_id: String,
    /// Time at which it was set first.
    pub created_at: Timestamp,
    /// Time at which it was set last.
    pub updated_at: Timestamp,
}

/// A schedule of a registered plan.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleRecord {
    /// The repository of the workflow file.
    pub repository: String,
    /// The path of the workflow file.
    pub file: String,
    /// Name of the plan.
    pub workflow: String,
    /// The five fields of cron.
    pub cron: String,
    /// IANA name of its zone.
    pub tz: String,
    /// Policy for missed ticks: `skip`, `run_once` or `catch_up`.
    pub misfire: String,
    /// The latest tick that was settled.
    pub last: Option<Timestamp>,
    /// The next ticks, the first first. While the schedule is paused they do not run.
    pub next: Vec<Timestamp>,
    /// The pause of the workflow or of its schedules; absent: none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseRecord>,
}

/// A runner that is not gone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunnerRecord {
    /// Its id, a ULID.
    pub id: String,
    /// The pool that it takes work for.
    pub pool: String,
    /// `warming`, `ready`, `claimed` or `draining`.
    pub state: String,
    /// The run that it works for.
    pub run: Option<String>,
    /// Time of its registration.
    pub registered_at: Timestamp,
    /// Time of its last heartbeat.
    pub seen_at: Timestamp,
    /// `process`, `pod` or `registered`.
    #[serde(default)]
    pub kind: String,
    /// Its name for people; absent: it has none.
    #[serde(default)]
    pub name: Option<String>,
    /// Names that steps may ask for in addition to its pool.
    #[serde(default)]
    pub labels: Vec<String>,
    /// It gets no further run.
    #[serde(default)]
    pub draining: bool,
    /// Of a registered machine: `registered`, `idle`, `running` or `failed`.
    #[serde(default)]
    pub executor: Option<String>,
}

/// A pool, as its runners and its queue show it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PoolRecord {
    /// Its name, as plans refer to it.
    pub name: String,
    /// Runners that are not gone.
    pub runners: u64,
    /// Attempts that no runner has claimed yet.
    pub queued: u64,
    /// Attempts that a runner has.
    pub running: u64,
    /// Its settings, if its runners are pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodPoolRecord>,
}

/// A pool whose runners are pods.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PodPoolRecord {
    /// Pods without a run that are in session.
    pub idle: u64,
    /// Pods that are starting.
    pub warming: u64,
    /// Idle pods to keep.
    pub min_idle: u64,
    /// Pods at most, busy ones included.
    pub max: u64,
    /// The sizes are those of `plue pool scale`, not of the configuration.
    pub scaled: bool,
    /// It gets no further pods.
    pub draining: bool,
    /// The reason that it has fewer pods than it should; absent: it has enough.
    pub degraded: Option<String>,
}

/// Usage of the runs of a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UsageRecord {
    /// The repository; absent: runs without one, or all of an organisation.
    pub repository: Option<String>,
    /// The organisation, if usage is summed by organisation; absent then: repositories without an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The workflow, if usage is summed by workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Runs that were created in the period.
    pub runs: u64,
    /// Those of them that ended well.
    pub succeeded: u64,
    /// Those of them that failed or ran out of time.
    pub failed: u64,
    /// Attempts of their steps that were started.
    pub attempts: u64,
    /// Time of these attempts, in minutes.
    pub minutes: f64,
    /// Their use of Claude; absent: they have asked nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude: Option<ClaudeUsageRecord>,
}

impl DeliveryRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: DeliverySummary, statuses: &RunStatuses) -> Self {
        let dispatches = row.dispatches.unwrap_or_default();
        Self {
            source: row.forge,
            id: row.id,
            received_at: row.received_at,
            state: row.state.as_str().to_owned(),
            note: row.note,
            tries: row.tries,
            next_at: row.next_at,
            workflows: dispatches
                .workflows
                .into_iter()
                .map(|made| DispatchRecord::of(made, statuses))
                .collect(),
            without_trigger: dispatches.without_trigger,
        }
    }
}

// === impl DispatchRecord ===

impl DispatchRecord {
    fn of(made: Dispatch, statuses: &RunStatuses) -> Self {
        let status = made.run.as_ref().and_then(|run| statuses.get(run));
        Self {
            workflow: made.workflow,
            file: made.file,
            result: made.result.as_str().to_owned(),
            reason: made.reason,
            run: made.run.map(|run| run.to_string()),
            status: status.map(|(status, why)| match why {
                Some(why) => format!("{status}: {why}"),
                None => status.to_string(),
            }),
        }
    }
}

// === impl RepoRecord ===

impl RepoRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &RepoRow) -> Self {
        Self {
            name: row.name.clone(),
            forge: row.forge.clone(),
            url: row.url.clone(),
            default_branch: row.default_branch.clone(),
            webhook: (row.forge != "local").then(|| format!("/hooks/{}/{}", row.forge, row.hook)),
            added_at: row.added_at,
            forge_id: None,
            last_delivery: None,
            problem: None,
            hook: None,
        }
    }
}

impl SecretRecord {
    /// The record of a row; `repository` is what its scope stands for.
    #[must_use]
    pub fn of(row: &SecretRow, repository: Option<String>) -> Self {
        Self {
            name: row.name.clone(),
            repository,
            key_id: row.key_id.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl RunnerRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &RunnerRow) -> Self {
        Self {
            id: row.id.to_string(),
            pool: row.pool.clone(),
            state: row.state.as_str().to_owned(),
            run: row.group.as_ref().map(ToString::to_string),
            registered_at: row.registered_at,
            seen_at: row.seen_at,
            kind: row.kind.as_str().to_owned(),
            name: row.name.clone(),
            labels: row.labels.clone(),
            draining: row.draining,
            executor: (row.kind == RunnerKind::Registered)
                .then(|| row.executor_state().as_str().to_owned()),
        }
    }
}

impl PoolRecord {
    /// The pools that runners, queues and configurations of pods name, by name.
    #[must_use]
    pub fn all(queues: &[QueueRow], runners: &[RunnerRow], pods: &[PoolRow]) -> Vec<Self> {
        let queued = queues.iter().map(|queue| queue.pool.as_str());
        let of_pods = pods.iter().map(|pool| pool.name.as_str());
        let of_runners = runners.iter().map(|runner| runner.pool.as_str());
        let mut names: Vec<&str> = queued.chain(of_pods).chain(of_runners).collect();
        names.sort_unstable();
        names.dedup();
        let pool = |name: &str| {
            let queue = queues.iter().find(|queue| queue.pool == name);
            let count = runners.iter().filter(|runner| runner.pool == name).count();
            Self {
                name: name.to_owned(),
                runners: count as u64,
                queued: queue.map_or(0, |queue| queue.queued),
                running: queue.map_or(0, |queue| queue.held),
                pods: pods
                    .iter()
                    .find(|row| row.name == name)
                    .map(|row| PodPoolRecord::of(row, runners)),
            }
        };
        names.into_iter().map(pool).collect()
    }
}

impl PodPoolRecord {
    fn of(row: &PoolRow, runners: &[RunnerRow]) -> Self {
        let configured: Json = serde_json::from_str(&row.spec).unwrap_or_default();
        let size = |set: Option<u32>, key: &str| {
            let configured = || configured.get(key).and_then(Json::as_u64).unwrap_or(0);
            set.map_or_else(configured, u64::from)
        };
        let count = |state| {
            let is_counted = |runner: &&RunnerRow| {
                runner.pool == row.name && runner.group.is_none() && runner.state == state
            };
            runners.iter().filter(is_counted).count() as u64
        };
        Self {
            idle: count(RunnerState::Ready),
            warming: count(RunnerState::Warming),
            min_idle: size(row.min_idle, "min_idle"),
            max: size(row.max, "max"),
            scaled: row.min_idle.is_some() || row.max.is_some(),
            draining: row.draining,
            degraded: row.degraded.clone(),
        }
    }
}

impl UsageRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &UsageRow, by: UsageBy) -> Self {
        // Whole hundredths of a minute: what a bill needs, and no float that differs by its last bit.
        let hundredths = row.busy_us / 600_000;
        let hundredths = u32::try_from(hundredths).unwrap_or(u32::MAX);
        Self {
            repository: row.owner.clone().filter(|_| by != UsageBy::Organisation),
            organisation: row.owner.clone().filter(|_| by == UsageBy::Organisation),
            workflow: row.workflow.clone(),
            runs: row.runs,
            succeeded: row.succeeded,
            failed: row.failed,
            attempts: row.attempts,
            minutes: f64::from(hundredths) / 100.0,
            claude: row.claude.as_ref().map(ClaudeUsageRecord::of),
        }
    }
}
