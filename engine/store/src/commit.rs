//! Advancing a run: one transaction that checks what the decision was made on, and writes all that
//! follows from it, or nothing.

mod apply;
mod create;
mod writes;

use jiff::Timestamp;
use plue_flow::{AttemptStatus, Fact, RunView, StepView, fact::Outcome};
use plue_plan::{AttemptId, PlanHash, RunId, RunnerId, StepId};
use plue_wire::runner::{AttemptEvent, Claim, ResultVerdict};
use serde_json::Value as Json;

use crate::{error::Error, handles::Runs, run::CancelRequest};

#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// Path of the workflow file.
    pub source: String,
    /// Its plan, which must be stored.
    pub plan: PlanHash,
    pub event: Json,
    pub inputs: Json,
    /// `owner/name` or the path of the repository, if known.
    pub repo: Option<String>,
    pub sha: Option<String>,
    pub branch: Option<String>,
    /// The pull request of a fork that it is for, 0 if its number is unknown; `None`: the change is by
    /// people who may write to the repository.
    pub fork: Option<u64>,
    /// Whether another run started it, in whose place it runs.
    pub is_child: bool,
    /// Evaluator build, read-set, flags.
    pub origin: Json,
    /// Time of the request.
    pub created_at: Timestamp,
}

/// Changes of one decision about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCommit {
    pub run: RunId,
    /// The length of the journal that the decision was made on.
    pub expect_seq: u64,
    /// The fence of the right to drive the run, where several engines share the database.
    pub drive: Option<u64>,
    /// The time of the decision and of all its facts.
    pub at: Timestamp,
    pub facts: Vec<Fact>,
    /// The run's row after them.
    pub view: RunView,
    /// The rows of the steps they touched, each step once.
    pub steps: Vec<StepView>,
    pub attempts: Vec<NewAttempt>,
    /// Attempts to queue again because their runner is gone and had not started them.
    pub requeue: Vec<Claim>,
    /// Runner that gets the attempts of `attempts` and `requeue` at once, if it still may.
    pub assign_to: Option<Assign>,
    pub ends: Vec<AttemptEnd>,
    /// Queued attempts that shall never run.
    pub cancels: Vec<AttemptId>,
    /// The request of another process to stop the run that is among the facts: it goes off the list,
    /// unless it has become a kill since.
    pub answers_request: Option<CancelRequest>,
}

/// A runner that waits for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assign {
    pub runner: RunnerId,
    /// The session that the caller serves.
    pub epoch: u64,
    /// Attempts it takes now; at most 64 are given in one commit.
    pub max: usize,
}

/// An attempt to queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    pub id: AttemptId,
    pub step: StepId,
    pub visit: u32,
    /// Its number within the visit.
    pub number: u32,
    /// The pool it waits for.
    pub pool: String,
    pub priority: i64,
    /// Not to be claimed before.
    pub not_before: Timestamp,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptEnd {
    pub claim: Claim,
    /// Events that came with the result; stored first.
    pub tail: Vec<AttemptEvent>,
    /// The number of the result, one more than the last event's. `None`: the engine reports it, not
    /// the runner (it is lost, or the work ran inside the engine), and the sequence is not checked.
    pub seq: Option<u64>,
    /// [`AttemptStatus::Done`], [`AttemptStatus::Lost`] or [`AttemptStatus::Cancelled`].
    pub status: AttemptStatus,
    pub outcome: Outcome,
    /// Exit status, times and memory, as far as known.
    pub detail: Option<Json>,
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The length of the journal now.
    pub seq: u64,
    /// The attempts that [`RunCommit::assign_to`] got, in the order of `attempts`, then `requeue`.
    pub assigned: Vec<Claim>,
}

/// A commit that was not made. Nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another engine has advanced the run: load it again, decide again.
    #[error("the journal has {seq} facts, more than the decision knew")]
    Stale {
        /// The length of the journal.
        seq: u64,
    },
    /// The right to drive the run was lost: another engine has it, or may take it.
    #[error("another engine drives the run now")]
    Superseded,
    /// There is no such run (any more).
    #[error("there is no such run")]
    NoRun,
    /// A runner's result does not count; the runner gets the reason.
    #[error("the result of attempt {attempt} is not recorded: {verdict:?}", attempt = claim.attempt)]
    Result {
        claim: Claim,
        /// Why; never [`ResultVerdict::Recorded`].
        verdict: ResultVerdict,
    },
    /// An attempt that shall be cancelled is not queued any more: a runner has it.
    #[error("attempt {attempt} is not queued any more")]
    NotQueued { attempt: AttemptId },
}

impl Runs<'_> {
    /// Creates a run together with its first facts (`first.expect_seq` is 0).
    ///
    /// The outer error is the database's; the inner one is the reason that the commit does not hold
    /// ([`Refused::Stale`] if the run exists already).
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn create(
        self,
        new: NewRun,
        first: RunCommit,
    ) -> Result<Result<Committed, Refused>, Error> {
        self.store.write(create::Create { new, first, engine: None }).await
    }

    /// Creates a run that `engine` drives from its first commit, so that no other engine takes it before;
    /// the fence of that right is [`Drive::FIRST_FENCE`](crate::Drive::FIRST_FENCE).
    ///
    /// # Errors
    /// As [`Self::create`]; the inner error is [`Refused::Superseded`] if the engine is not registered
    /// any more.
    pub async fn create_driven(
        self,
        new: NewRun,
        first: RunCommit,
        engine: &str,
    ) -> Result<Result<Committed, Refused>, Error> {
        self.store.write(create::Create { new, first, engine: Some(engine.to_owned()) }).await
    }

    /// Advances a run: all of `commit` or nothing.
    ///
    /// # Errors
    /// [`Error`] of the database; the inner error is the reason that the commit does not hold.
    pub async fn commit(self, commit: RunCommit) -> Result<Result<Committed, Refused>, Error> {
        self.store.write(apply::Apply(commit)).await
    }
}

// === impl RunCommit ===

impl RunCommit {
    /// A commit without facts; fill in what changes.
    #[must_use]
    pub fn new(run: RunId, expect_seq: u64, at: Timestamp, view: RunView) -> Self {
        Self {
            run,
            expect_seq,
            drive: None,
            at,
            facts: Vec::new(),
            view,
            steps: Vec::new(),
            attempts: Vec::new(),
            requeue: Vec::new(),
            assign_to: None,
            ends: Vec::new(),
            cancels: Vec::new(),
            answers_request: None,
        }
    }
}
