//! Turns in concurrency groups: runs of one group do not overlap and start in the order in which they
//! were asked for.
//!
//! A member without a driver has no claim: its turn goes to the next, and it queues again, at its
//! old position, once an engine drives it.

use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::RunId;

use crate::{
    changes::Shards,
    error::Error,
    handles::Groups,
    op::{Op, Plain},
    sql::{Dialect, Row, Statement, Tx},
};

/// A run in a concurrency group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub run: RunId,
    pub group: String,
    /// Since when it has the turn.
    pub turn_at: Option<Timestamp>,
    /// Last report of its driver.
    pub seen_at: Timestamp,
    /// The state of the run.
    pub status: RunStatus,
    /// Last end of the run.
    pub ended_at: Option<Timestamp>,
}

/// Whether a run has its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnState {
    Mine {
        /// Runs without a driver that had it.
        from: Vec<RunId>,
    },
    /// Another run of the group is first.
    Behind(RunId),
}

/// A request for the turn.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    pub run: RunId,
    pub group: String,
    pub at: Timestamp,
    /// Members not seen since then have no claim, unless they are `driven`.
    pub seen_since: Timestamp,
    /// Members that have a driver as far as the caller knows, whatever the clocks show.
    pub driven: Vec<RunId>,
    /// Members that have no driver as far as the caller knows.
    pub left_behind: Vec<RunId>,
}

const MEMBERS: &str = "SELECT m.run_id, m.group_key, m.turn_at, m.seen_at, r.status, r.ended_at \
                       FROM group_member m JOIN run r ON r.id = m.run_id \
                       WHERE m.group_key = $1 ORDER BY m.asked_at, m.run_id";

/// Between the repository and the name of a group. No name of a repository has it: see `is_repo_name`
/// of the API.
const OF_REPOSITORY: &str = ": ";

/// Key of a group in the store; it keeps groups of the same name in two repositories separate. Runs
/// of no known repository share their names.
#[must_use]
pub fn group_key(repo: Option<&str>, name: String) -> String {
    match repo {
        Some(repo) => format!("{repo}{OF_REPOSITORY}{name}"),
        None => name,
    }
}

/// The name of a group, as shown to people, from its key.
#[must_use]
pub fn group_name<'a>(repo: Option<&str>, key: &'a str) -> &'a str {
    let name = repo.and_then(|repo| key.strip_prefix(repo)?.strip_prefix(OF_REPOSITORY));
    name.unwrap_or(key)
}

impl Groups<'_> {
    /// Enters a run into its group, at the place of the time it was asked for. Again: is seen.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn join(
        self,
        run: &RunId,
        group: &str,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        let text = "INSERT INTO group_member (run_id, group_key, asked_at, seen_at) \
                    VALUES ($1, $2, $3, $4) ON CONFLICT (run_id) DO UPDATE SET \
                    seen_at = excluded.seen_at";
        let args = vec![run.as_str().into(), group.into(), asked_at.into(), now.into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Requests the turn, and records that the run has a driver.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_turn(self, request: TurnRequest) -> Result<TurnState, Error> {
        self.store.write(Take(request)).await
    }

    /// Records that a member still has a driver.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn refresh(self, run: &RunId, now: Timestamp) -> Result<(), Error> {
        let text = "UPDATE group_member SET seen_at = $2 WHERE run_id = $1";
        let args = vec![run.as_str().into(), now.into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Takes a run out of its group: it has ended.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn leave(self, run: &RunId) -> Result<(), Error> {
        let text = "DELETE FROM group_member WHERE run_id = $1";
        self.store.write(Plain(vec![Statement::new(text, vec![run.as_str().into()])])).await
    }

    /// The open runs of a group, in their order.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn members(self, group: &str) -> Result<Vec<GroupMember>, Error> {
        let rows = self.store.read(Statement::new(MEMBERS, vec![group.into()])).await?;
        let members = rows.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        Ok(members.into_iter().filter(GroupMember::is_open).collect())
    }

    /// The group that a run is in.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of_run(self, run: &RunId) -> Result<Option<String>, Error> {
        let text = "SELECT group_key FROM group_member WHERE run_id = $1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map(|row| row.text(0)).transpose()
    }
}

struct Take(TurnRequest);

impl Op for Take {
    type Out = TurnState;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<TurnState, Error> {
        let request = &self.0;
        let lock = match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE OF m",
        };
        let text = format!("{MEMBERS}{lock}");
        let rows = tx.fetch(Statement::new(text, vec![request.group.as_str().into()])).await?;
        let members = rows.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = request.first(&members) {
            tx.write(seen(request, None));
            return Ok(TurnState::Behind(first));
        }
        let had = |member: &&GroupMember| {
            member.turn_at.is_some() && member.run != request.run && member.is_open()
        };
        let from: Vec<RunId> =
            members.iter().filter(had).map(|member| member.run.clone()).collect();
        tx.write_all(from.iter().map(no_turn).collect());
        tx.write(seen(request, Some(request.at)));
        Ok(TurnState::Mine { from })
    }

    fn touched(&self, _turn: &TurnState) -> Shards {
        Shards::NONE
    }
}

// === impl GroupMember ===

impl GroupMember {
    /// Whether the run is open, or is about to be: one that ended before it had the turn was given it to be
    /// reopened.
    fn is_open(&self) -> bool {
        let reopens = || self.turn_at.zip(self.ended_at).is_some_and(|(turn, end)| end < turn);
        !self.status.is_terminal() || reopens()
    }
}

// === impl TurnRequest ===

impl TurnRequest {
    /// Run that has the turn, or comes before this run.
    fn first(&self, members: &[GroupMember]) -> Option<RunId> {
        let counts = |member: &&GroupMember| {
            member.is_open()
                && (member.seen_at >= self.seen_since || self.driven.contains(&member.run))
                && !self.left_behind.contains(&member.run)
        };
        let mine = |member: &GroupMember| member.run == self.run;
        let others = || members.iter().filter(counts).filter(|member| !mine(member));
        let holder = others().find(|member| member.turn_at.is_some());
        let before = members.iter().take_while(|member| !mine(member)).find(counts);
        let has_it = members.iter().any(|member| mine(member) && member.turn_at.is_some());
        holder.or(before.filter(|_| !has_it)).map(|member| member.run.clone())
    }
}

fn seen(request: &TurnRequest, turn_at: Option<Timestamp>) -> Statement {
    let text = "UPDATE group_member SET seen_at = $2, turn_at = COALESCE(turn_at, $3) \
                WHERE run_id = $1";
    Statement::new(text, vec![request.run.as_str().into(), request.at.into(), turn_at.into()])
}

fn no_turn(run: &RunId) -> Statement {
    let text = "UPDATE group_member SET turn_at = NULL WHERE run_id = $1";
    Statement::new(text, vec![run.as_str().into()])
}

fn member(row: &Row) -> Result<GroupMember, Error> {
    Ok(GroupMember {
        run: RunId::new(row.text(0)?),
        group: row.text(1)?,
        turn_at: row.opt_time(2)?,
        seen_at: row.time(3)?,
        status: row.parse(4)?,
        ended_at: row.opt_time(5)?,
    })
}
