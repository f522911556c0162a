//! The tables of the store by family: one handle each, `store.runs().list()`, `store.logs()`, and so on.
//!
//! A handle borrows the store, costs nothing, and has the queries and writes of its tables. Must not hold
//! rows or decide anything.

use crate::store::Store;

/// Declares handles, and the methods of [`Store`] that give them.
macro_rules! handles {
    ($($(#[$doc:meta])* $method:ident: $Handle:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $Handle<'a> {
                pub(crate) store: &'a Store,
            }
        )*

        impl Store {
            $(
                $(#[$doc])*
                #[must_use]
                pub const fn $method(&self) -> $Handle<'_> {
                    $Handle { store: self }
                }
            )*
        }
    };
}

handles! {
    /// Runs, their steps, and the reasons that keep a run from starting.
    runs: Runs,
    /// The files that a run begins with, and the machine that has its work tree.
    run_files: RunFiles,
    /// Requests to cancel runs.
    cancels: Cancels,
    /// Leases of engines on the runs that they drive.
    drives: Drives,
    /// Events of runs and of attempts.
    journal: Journal,
    /// Conversations of Claude steps.
    transcripts: Transcripts,
    /// Attempts of steps, and their claims by runners.
    attempts: Attempts,
    /// Decisions of people about steps and about single tool calls.
    decisions: Decisions,
    /// Callbacks that steps wait for.
    callbacks: Callbacks,
    /// Stored logs by bytes, lines, and numbers of events.
    logs: Logs,
    /// Searches in stored logs.
    log_search: LogSearch,
    /// Logs that runners write to now.
    open_logs: OpenLogs,
    /// Logs of ended attempts: packing, and offloading to the blob store.
    packed_logs: PackedLogs,
    /// Content of runs, stored once per hash.
    blobs: Blobs,
    /// The blobs that each scope may read.
    blob_grants: BlobGrants,
    /// The files and objects of larger blobs: collection and copies.
    blob_files: BlobFiles,
    /// Files that attempts leave behind.
    artifacts: Artifacts,
    /// Records of runners about the outputs of their attempts.
    outputs: Outputs,
    /// Caches of steps, and results of pure steps.
    caches: Caches,
    /// States of a work tree after its steps.
    checkpoints: Checkpoints,
    /// Concurrency groups and their queues.
    groups: Groups,
    /// Limits of concurrent runs of each engine, and the bytes of each run.
    capacity: Capacity,
    /// Engines that use this database.
    engines: Engines,
    /// Runners and their sessions.
    runners: Runners,
    /// Machines that register themselves, and their one-time tokens.
    registrations: Registrations,
    /// Pools of pods: settings, leaders, arrivals.
    pools: Pools,
    /// Pods of pools, one row each before the pod exists.
    pods: Pods,
    /// Runners that each engine waits for.
    demand: Demand,
    /// Ended runs of a workflow, and the times of their steps.
    run_history: RunHistory,
    /// Runs as lists show them.
    run_lists: RunLists,
    /// Results of tests that steps reported.
    test_reports: TestReports,
    /// Webhooks of forges that were received.
    deliveries: Deliveries,
    /// Deliveries in work: one queue per repository.
    delivery_queues: DeliveryQueues,
    /// Untrusted commits, held until a maintainer allows them.
    untrusted: Untrusted,
    /// Messages that steps wait for.
    topics: Topics,
    /// Repositories, their workflows, schedules, and identities at forges.
    repos: Repos,
    /// Pauses of workflows and repositories.
    pauses: Pauses,
    /// Reports of runs to forges, newest state only.
    reports: Reports,
    /// Plans by hash, and evaluations by key.
    plans: Plans,
    /// Rows of whole runs, for export and import.
    archive: ArchiveRows,
    /// Deletion of ended runs after their retention.
    retention: Retention,
    /// Sealed secrets, and the masks of runs.
    secrets: Secrets,
    /// Sessions of people, and their logins.
    sessions: Sessions,
    /// Filters that people saved under a name.
    saved_views: SavedViews,
    /// API tokens, by the hash of their secret.
    tokens: Tokens,
    /// Pinned tool lists of MCP servers.
    mcp: Mcp,
    /// Sums over runs, and queues.
    usage: Usage,
    /// Calls of Claude, their cost and their budgets.
    claude: Claude,
    /// Webhooks to others, and their deliveries.
    webhooks: Webhooks,
    /// Audit log of what people and tokens did.
    audit: Audit,
    /// Keys of requests that were answered already.
    idempotency: Idempotency,
}
