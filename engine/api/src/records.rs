//! What the routes answer: records of rows, additive only, with schemas in the OpenAPI document.
//!
//! Must not read the database.

use std::borrow::Cow;

use jiff::Timestamp;
use plue_flow::{Fact, Run};
use plue_plan::StepId;
use plue_store::{
    AttemptRow, AuditRow, JournalRow, LogHit, LogPiece, LogStat, RunRow, StepRow, TokenRow,
    usage::claude::StepSpend,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    access::{Grant, Principal, Role},
    records::claude::ClaudeUsageRecord,
};

pub mod claude;
pub mod kept;
pub mod log;
pub mod log_view;
pub mod place;
pub mod report;
pub mod retry;
pub mod runner;
pub mod story;
pub mod test_results;
pub mod told;
pub mod transcript;
pub mod webhook;
pub mod workflow;

pub use told::{ApprovalRecord, StatusRecord};

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; absent: this is the last one.
    pub next: Option<String>,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Its id.
    pub id: String,
    /// Name of its plan.
    pub workflow: String,
    /// Hash of its plan.
    pub plan: String,
    /// `queued`, `running`, `waiting`, `success`, `failed`, `cancelled` or `timed_out`.
    pub status: String,
    /// Why, if there is something to say.
    pub reason: Option<String>,
    /// `owner/name`, if known.
    pub repository: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Facts in its journal.
    pub seq: u64,
}

/// One step of a run, in its current visit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// Its id.
    pub step: String,
    /// What people call it, where the plan is at hand. A name with values of the run is as written until the
    /// step has started in its visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `pending`, `queued`, `running`, `waiting`, `success`, `failed`, `skipped`, `cancelled` or
    /// `timed_out`.
    pub status: String,
    /// Why, if there is something to say.
    pub reason: Option<String>,
    /// How many times it was entered.
    pub visit: u32,
    /// Attempts in this visit.
    pub attempts: u32,
    /// When it could have begun.
    pub ready_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its output.
    pub output: Json,
    /// Its use of Claude in all visits; absent: it has asked nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ClaudeUsageRecord>,
}

/// One attempt of a step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRecord {
    /// Its id.
    pub id: String,
    /// The step.
    pub step: String,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// Its number within the visit, from 1.
    pub number: u32,
    /// `queued`, `assigned`, `running`, `done`, `lost` or `cancelled`.
    pub status: String,
    /// How it ended, in words.
    pub outcome: Option<String>,
    /// Who ran it.
    pub runner: Option<String>,
    /// When it was queued.
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
    /// When it was decided.
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

/// How long a log is.
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
    /// The step.
    pub step: String,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// The attempt's number within the visit, from 1.
    pub attempt: u32,
    /// The attempt's id.
    pub attempt_id: String,
    /// The line in the attempt's log, from 1, and the first place of the text in it.
    #[serde(flatten)]
    pub hit: HitRecord,
}

/// A token, without the token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenRecord {
    /// Its public id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub role: String,
    /// The one repository it is good for; absent: all.
    pub repository: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was last good for something.
    pub used_at: Option<Timestamp>,
}

/// A token that was just made: the only answer that shows it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewTokenRecord {
    /// The token. It is not kept, so note it down.
    pub token: String,
    /// What is kept.
    #[serde(flatten)]
    pub record: TokenRecord,
}

/// Who is asking.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WhoRecord {
    /// As journals and the audit trail name him.
    pub name: String,
    /// What he may do; the highest of several roles.
    pub role: Role,
    /// The one repository he may do it to; absent: all, or those of `grants`.
    pub repository: Option<String>,
    /// Which role he has where, if it is not one in one repository or in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// A row of the audit trail.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub principal: String,
    /// What: `run.cancel`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// In which repository.
    pub repository: Option<String>,
    /// More.
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

impl WhoRecord {
    /// The record of somebody.
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
