//! All SQL of plue, on SQLite and Postgres. Never decides a status, acknowledges nothing uncommitted, keeps no truth in memory.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "a field whose name is its meaning has no comment")]
mod attempt;
mod audit;
pub mod blob;
mod callback;
pub mod capacity;
mod changes;
mod commit;
pub mod decision;
pub mod delivery;
mod drive;
mod engine;
pub mod error;
mod events;
mod fence;
mod group;
pub mod handles;
mod idempotency;
mod journal;
pub mod keep;
mod live;
pub mod log;
pub mod mcp;
mod migrate;
mod op;
mod options;
pub mod plan;
pub mod pool;
pub mod portable;
mod postgres;
pub mod probe;
pub mod repo;
mod retention;
pub mod rule;
pub mod run;
pub mod runner;
pub mod secret;
mod session;
mod sql;
mod sqlite;
mod store;
mod token;
pub mod topic;
pub mod usage;
pub mod webhook;

pub use crate::{
    attempt::AttemptRow,
    audit::AuditRow,
    blob::{BlobWriter, Collected},
    callback::CallbackAnswered,
    commit::{Assign, AttemptEnd, Committed, NewAttempt, NewRun, Refused, RunCommit},
    delivery::{DeliveryRow, DeliveryState, DeliverySummary, Received, WEBHOOK_TOPIC},
    drive::{Drive, DriveRequest, deaths},
    engine::{EngineRow, NewEngine},
    error::Error,
    events::Appended,
    group::{GroupMember, TurnRequest, TurnState, group_key, group_name},
    idempotency::Reservation,
    journal::{HIDDEN_FIELD, JournalRow, TranscriptId, TranscriptRow},
    keep::{
        ArtifactRow, CacheFound, CacheRow, CheckpointKind, CheckpointRow, NewRecord, NoteRow,
        PureFound, Recorded, RunWorkspace,
    },
    live::{LivePieces, LogReader, LogTurn, LogWriter},
    log::{LogFound, LogHit, LogPiece, LogPosition, LogRange, LogStat, LogStream},
    migrate::SCHEMA_VERSION,
    options::{Durability, StoreOptions},
    repo::{ForgeReporterRow, RegisteredRow, RepoRow, ReportKey, ReportRow, SettledReport, Tick},
    run::{
        CancelRequest, Obstacle, ObstacleKind, RunFilter, RunRow, RunSource, StepRow, StoredRun,
    },
    runner::{ClaimedAttempt, REMOTE_POOL, RunnerKind, RunnerRow, RunnerState},
    session::{LoginRow, PersonSession, SavedView, SessionRow},
    store::Store,
    token::TokenRow,
    usage::{QueueRow, QueuedAttempt, UsageBy, UsageDay, UsageRow},
};
