//! Facts that endpoints are notified of, and their messages in the transaction that makes them
//! true: a process that dies afterwards loses nothing, and a rollback sends nothing.

use plue_flow::{Awaited, Fact};

use crate::{
    commit::RunCommit,
    sql::{Arg, Statement},
};

/// Kind of event that an endpoint can subscribe to.
pub const EVENTS: [&str; 7] = [
    "run.created",
    "run.started",
    "run.ended",
    "run.reopened",
    "step.ended",
    "approval.requested",
    "approval.decided",
];
/// Event of a test message to an endpoint.
pub const PING: &str = "ping";

/// Facts of one statement.
const FACTS: usize = 64;

/// Whose run it is.
pub(crate) enum Repo<'a> {
    /// Of this repository, or of none; the run's row is not there yet.
    Known(Option<&'a str>),
    /// Status in the run's row.
    OfRow,
}

/// The event that a fact is for others; most are none.
#[must_use]
pub const fn event_of(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::RunCreated { .. } => Some("run.created"),
        Fact::RunStarted => Some("run.started"),
        Fact::RunEnded { .. } => Some("run.ended"),
        Fact::RunReopened { .. } => Some("run.reopened"),
        Fact::StepEnded { .. } => Some("step.ended"),
        Fact::AttemptWaiting { what: Awaited::Decision { .. }, .. }
        | Fact::CallsAsked { is_news: true, .. } => Some("approval.requested"),
        Fact::DecisionMade { .. } => Some("approval.decided"),
        Fact::AttemptWaiting {
            what:
                Awaited::Time
                | Awaited::Event { .. }
                | Awaited::Workflow { .. }
                | Awaited::Callback
                | Awaited::Call(_),
            ..
        }
        | Fact::CallsAsked { is_news: false, .. }
        | Fact::ConditionEvaluated { .. }
        | Fact::AttemptQueued { .. }
        | Fact::AttemptUnschedulable { .. }
        | Fact::AttemptSchedulable { .. }
        | Fact::AttemptAssigned { .. }
        | Fact::AttemptStarted { .. }
        | Fact::ChildStarted { .. }
        | Fact::OutputsEvaluated { .. }
        | Fact::AttemptEnded { .. }
        | Fact::AttemptRequeued { .. }
        | Fact::RetryScheduled { .. }
        | Fact::LoopedBack { .. }
        | Fact::CancelRequested { .. }
        | Fact::RunTimedOut => None,
    }
}

/// A delivery for each endpoint that subscribes to a fact of this commit. Its message is named by
/// the fact's position in the journal, which never changes.
pub(crate) fn enqueue(commit: &RunCommit, repo: &Repo<'_>) -> Vec<Statement> {
    let facts: Vec<(u64, &str)> = (commit.expect_seq + 1..)
        .zip(&commit.facts)
        .filter_map(|(seq, fact)| Some((seq, event_of(fact)?)))
        .collect();
    facts.chunks(FACTS).map(|facts| insert(commit, repo, facts)).collect()
}

fn insert(commit: &RunCommit, repo: &Repo<'_>, facts: &[(u64, &str)]) -> Statement {
    let mut args: Vec<Arg> = vec![commit.run.as_str().into(), commit.at.into()];
    let own = match repo {
        Repo::OfRow => "(SELECT r.repo FROM run r WHERE r.id = $1)",
        Repo::Known(repo) => {
            args.push(repo.map(str::to_owned).into());
            "$3"
        }
    };
    let mut rows = Vec::with_capacity(facts.len());
    for (seq, event) in facts {
        rows.push(format!("(${}, ${})", args.len() + 1, args.len() + 2));
        args.extend([Arg::count(*seq), (*event).into()]);
    }
    // Both databases call the columns of VALUES so.
    let text = format!(
        "INSERT INTO webhook_delivery \
         (webhook, message, event, run_id, seq, state, version, tries, next_at, created_at) \
         SELECT w.id, 'msg_' || $1 || '_' || f.column1, f.column2, $1, f.column1, 'open', 1, 0, $2, $2 \
         FROM webhook w CROSS JOIN (VALUES {}) AS f \
         WHERE w.disabled_at IS NULL AND w.events LIKE '% ' || f.column2 || ' %' \
         AND (w.repo IS NULL OR w.repo = {own})",
        rows.join(", ")
    );
    Statement::new(text, args)
}
