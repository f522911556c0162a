//! Records of the routes' answers: made from rows, additive only, with schemas in the OpenAPI document.
//!
//! Must not read the database.

use std::borrow::Cow;

use jiff::Timestamp;
use plue_flow::{Fact, Run};
use plue_plan::StepId;
use plue_store::{
    AttemptRow, AuditRow, JournalRow, LogHit, LogPiece, LogStat, RunRow, SavedView, StepRow,
    TokenRow, usage::claude::StepSpend,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    access::{Grant, Principal, Role},
    records::claude::ClaudeUsageRecord,
};

pub mod artifact;
pub mod claude;
pub mod log;
pub mod log_view;
pub mod report;
pub mod resources;
pub mod retry;
pub mod runner;
pub mod status;
pub mod story;
pub mod test_results;
pub mod transcript;
pub mod webhook;
pub mod workflow;

pub use status::{ApprovalRecord, StatusRecord};

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items of this page, in the order of the list.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; absent: this is the last one.
    pub next: Option<String>,
}

/// A run in lists and as a whole.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Its id, a ULID.
    pub id: String,
    /// Name of its plan.
    pub workflow: String,
    /// Hash of its plan.
    pub plan: String,
    /// `queued`, `running`, `waiting`, `success`, `failed`, `cancelled` or `timed_out`.
    pub status: String,
    /// The reason of its status, if there is one.
    pub reason: Option<String>,
    /// `owner/name`, if known.
    pub repository: Option<String>,
    /// The commit that the run was planned at.
    pub sha: Option<String>,
    /// The branch that the event named.
    pub branch: Option<String>,
    /// Time at which the run was requested.
    pub created_at: Timestamp,
    /// Start of its first step.
    pub started_at: Option<Timestamp>,
    /// Time at which its last step ended.
    pub ended_at: Option<Timestamp>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Facts in its journal.
    pub seq: u64,
}

/// One step of a run, in its current visit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// Its id in the plan.
    pub step: String,
    /// Its name for people, where the plan is at hand. A name with values of the run is as written
    /// until the
    /// step has started in its visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `pending`, `queued`, `running`, `waiting`, `success`, `failed`, `skipped`, `cancelled` or
    /// `timed_out`.
    pub status: String,
    /// The reason of its status, if there is one.
    pub reason: Option<String>,
    /// Number of its visits so far, counting loops.
    pub visit: u32,
    /// Attempts in this visit.
    pub attempts: u32,
    /// Time at which all its dependencies had ended.
    pub ready_at: Option<Timestamp>,
    /// Start of its first attempt.
    pub started_at: Option<Timestamp>,
    /// Time at which its last attempt ended.
    pub ended_at: Option<Timestamp>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its output, as an object.
    pub output: Json,
    /// Its use of Claude in all visits; absent: it has asked nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ClaudeUsageRecord>,
}

/// One attempt of a step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRecord {
    /// Its id, a ULID.
    pub id: String,
    /// The step that it executes.
    pub step: String,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// Its number within the visit, from 1.
    pub number: u32,
    /// `queued`, `assigned`, `running`, `done`, `lost` or `cancelled`.
    pub status: String,
    /// Its outcome, in words.
    pub outcome: Option<String>,
    /// The runner that executed it.
    pub runner: Option<String>,
    /// Time at which it was queued.
    pub queued_at: Timestamp,
    /// By the runner's clock.
    pub started_at: Option<Timestamp>,
    /// By the runner's clock.
    pub ended_at: Option<Timestamp>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Bytes of its log.
    pub log_bytes: u64,
}

/// A fact of a run's journal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FactRecord {
    /// Its number, from 1; `Last-Event-ID` of a stream.
    pub seq: u64,
    /// Time of the decision, in UTC.
    pub at: Timestamp,
    /// The fact, as the journal has it.
    #[schemars(with = "Json")]
    pub fact: Fact,
    /// The events that it is, such as `step.succeeded` and `run.progress`.
    #[serde(default)]
    pub events: Vec<String>,
}

/// A piece of a log, as a step printed it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PieceRecord {
    /// Its number; `Last-Event-ID` of a stream.
    pub seq: u64,
    /// By the runner's clock.
    pub at: Timestamp,
    /// `stdout`, `stderr`, `gap` (bytes that were dropped at the cap) or `note`.
    pub stream: String,
    /// Offset of its first byte in the log.
    pub first_byte: u64,
    /// Line that its first byte belongs to, from 1.
    pub first_line: u64,
    /// Its bytes, if they are text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its bytes in lower-case hex, if they are not: a piece may end within a character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
}

/// The size of a log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogRecord {
    /// Bytes.
    pub bytes: u64,
    /// Lines, an unfinished last one included.
    pub lines: u64,
    /// Whether nothing more will come.
    pub ended: bool,
}

/// A place where a text was found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HitRecord {
    /// The line, from 1.
    pub line: u64,
    /// Offset of the first byte of the text.
    pub byte: u64,
    /// The line around the text; bytes that are no UTF-8 become U+FFFD.
    pub text: String,
}

/// A line of a log of a run that holds a text.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunHitRecord {
    /// The step that wrote the log.
    pub step: String,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// The attempt's number within the visit, from 1.
    pub attempt: u32,
    /// The attempt that wrote the log.
    pub attempt_id: String,
    /// The line in the attempt's log, from 1, and the first place of the text in it.
    #[serde(flatten)]
    pub hit: HitRecord,
}

/// A token, without the token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenRecord {
    /// Its public id, which names it in lists and in the audit trail.
    pub id: String,
    /// Its purpose, as its creator named it.
    pub name: String,
    /// The role of its holder.
    pub role: String,
    /// The one repository it is good for; absent: all.
    pub repository: Option<String>,
    /// The principal that created it.
    pub created_by: String,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Time of its last valid use.
    pub used_at: Option<Timestamp>,
}

/// A filter of the list of runs that a principal saved under a name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SavedViewRecord {
    /// Unique among the views of the principal.
    pub name: String,
    /// Conditions as the page `/runs` has them behind its `?`; unknown ones were dropped.
    pub query: String,
    /// Time at which it was saved.
    pub created_at: Timestamp,
}

/// A token that was just made: the only answer that shows it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewTokenRecord {
    /// The token. It is not kept, so note it down.
    pub token: String,
    /// The stored record, without the secret.
    #[serde(flatten)]
    pub record: TokenRecord,
}

/// The caller of a request, and the caller's roles.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WhoRecord {
    /// As journals and the audit trail name him.
    pub name: String,
    /// The highest of the caller's roles.
    pub role: Role,
    /// The one repository he may do it to; absent: all, or those of `grants`.
    pub repository: Option<String>,
    /// The role in each repository, if it is not one role in one repository or in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// A row of the audit trail.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Its number in the trail, rising.
    pub seq: u64,
    /// Time of the action.
    pub at: Timestamp,
    /// The principal that acted.
    pub principal: String,
    /// The action: `run.cancel`.
    pub action: String,
    /// The object of the action, by its id or name.
    pub subject: String,
    /// The repository of the object.
    pub repository: Option<String>,
    /// Further fields, by action.
    pub detail: Json,
}

impl RunRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &RunRow) -> Self {
        Self {
            id: row.id.to_string(),
            workflow: row.workflow.clone(),
            plan: row.plan.to_string(),
            status: row.view.status.to_string(),
            reason: row.view.reason.clone(),
            repository: row.repo.clone(),
            sha: row.sha.clone(),
            branch: row.branch.clone(),
            created_at: row.created_at,
            started_at: row.view.started_at,
            ended_at: row.view.ended_at,
            duration_ms: milliseconds(row.view.started_at, row.view.ended_at),
            seq: row.seq,
        }
    }
}

impl StepRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &StepRow) -> Self {
        let view = &row.view;
        Self {
            step: view.step.to_string(),
            name: None,
            status: view.status.to_string(),
            reason: view.reason.as_ref().map(ToString::to_string),
            visit: view.visit,
            attempts: view.attempts,
            ready_at: view.ready_at,
            started_at: view.started_at,
            ended_at: view.ended_at,
            duration_ms: milliseconds(view.started_at, view.ended_at),
            output: view.output.clone(),
            usage: None,
        }
    }

    /// The same with what people call it in this run.
    #[must_use]
    pub fn named(self, run: &Run) -> Self {
        let name = run.name(&StepId::new(self.step.as_str()));
        Self { name: name.map(Cow::into_owned), ..self }
    }

    /// The same with its use of Claude.
    #[must_use]
    pub fn with_usage(self, spends: &[StepSpend]) -> Self {
        Self { usage: ClaudeUsageRecord::of_step(spends, &self.step), ..self }
    }
}

impl AttemptRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &AttemptRow) -> Self {
        Self {
            id: row.claim.attempt.to_string(),
            step: row.step.to_string(),
            visit: row.visit,
            number: row.number,
            status: row.state.to_string(),
            outcome: row.outcome.as_ref().map(ToString::to_string),
            runner: row.runner.as_ref().map(ToString::to_string),
            queued_at: row.queued_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            duration_ms: milliseconds(row.started_at, row.ended_at),
            log_bytes: row.log_bytes,
        }
    }
}

impl FactRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: JournalRow) -> Self {
        let events = row.fact.events().iter().map(|name| (*name).to_owned()).collect();
        Self { seq: row.seq, at: row.at, fact: row.fact, events }
    }
}

impl PieceRecord {
    /// The record of a piece.
    #[must_use]
    pub fn of(piece: LogPiece) -> Self {
        let (text, hex) = match String::from_utf8(piece.bytes) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(hex::encode(error.as_bytes()))),
        };
        Self {
            seq: piece.seq,
            at: piece.at,
            stream: piece.stream.as_str().to_owned(),
            first_byte: piece.first_byte,
            first_line: piece.first_line + 1,
            text,
            hex,
        }
    }
}

impl LogRecord {
    /// The record of a length.
    #[must_use]
    pub fn of(stat: LogStat) -> Self {
        Self { bytes: stat.bytes, lines: stat.lines, ended: stat.ended }
    }
}

impl HitRecord {
    /// The record of a hit.
    #[must_use]
    pub fn of(hit: &LogHit) -> Self {
        let text = String::from_utf8_lossy(&hit.text).into_owned();
        Self { line: hit.line + 1, byte: hit.byte, text }
    }
}

impl RunHitRecord {
    /// The record of a hit.
    #[must_use]
    pub fn of(attempt: &AttemptRow, hit: &LogHit) -> Self {
        Self {
            step: attempt.step.to_string(),
            visit: attempt.visit,
            attempt: attempt.number,
            attempt_id: attempt.claim.attempt.to_string(),
            hit: HitRecord::of(hit),
        }
    }
}

impl TokenRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &TokenRow) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            role: row.role.clone(),
            repository: row.repo.clone(),
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
        }
    }
}

impl SavedViewRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: SavedView) -> Self {
        Self { name: row.name, query: row.query, created_at: row.created_at }
    }
}

impl WhoRecord {
    /// The record of a principal.
    #[must_use]
    pub fn of(who: &Principal) -> Self {
        let several = who.grants().len() > 1;
        Self {
            name: who.name.clone(),
            role: who.role(),
            repository: who.only_repo(),
            grants: if several { who.grants().to_vec() } else { Vec::new() },
        }
    }
}

impl AuditRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: AuditRow) -> Self {
        Self {
            seq: row.seq,
            at: row.at,
            principal: row.principal,
            action: row.action,
            subject: row.subject,
            repository: row.repo,
            detail: row.detail,
        }
    }
}

fn milliseconds(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<i64> {
    Some(to?.as_millisecond().saturating_sub(from?.as_millisecond()).max(0))
}
