//! Reading runs, their journals and their steps.

mod cancel;
mod folded;
mod history;
mod list;
mod obstacle;

use std::collections::HashMap;

use jiff::Timestamp;
use plue_flow::{Fact, RunStatus, RunView, StepView};
use plue_plan::{PlanHash, RunId};
use serde_json::Value as Json;

use crate::{
    deaths::NOT_SET_ASIDE,
    drive::UNDRIVEN,
    error::Error,
    handles::Runs,
    sql::{Arg, Row, Statement, among, placeholders},
};

pub use cancel::CancelRequest;
pub use folded::FoldedRun;
pub use history::{PastRun, StepTimes};
pub use list::{EventTexts, ListedRun, RunQuery};
pub use obstacle::{Obstacle, ObstacleKind};

/// A row of `run`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub id: RunId,
    /// Name of its workflow.
    pub workflow: String,
    pub plan: PlanHash,
    /// `owner/name` or the path of the repository, if known.
    pub repo: Option<String>,
    pub sha: Option<String>,
    pub branch: Option<String>,
    /// The pull request of a fork that it is for, 0 if its number is unknown; `None`: the change is by
    /// people who may write to the repository.
    pub fork: Option<u64>,
    /// Status, reason, start and end.
    pub view: RunView,
    /// Length of its journal.
    pub seq: u64,
    pub created_at: Timestamp,
    /// Whether an engine had it in hand when the row was read; see [`crate::deaths`].
    pub in_hand: bool,
    /// Number of engine deaths in a row with the run in hand; see [`crate::deaths`].
    pub deaths: u32,
}

/// Source of a run; never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSource {
    /// Path of the workflow file.
    pub source: String,
    pub event: Json,
    pub inputs: Json,
    /// Evaluator build, read-set, flags.
    pub origin: Json,
}

/// A run with its journal.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    pub run: RunRow,
    /// Source of the run.
    pub source: RunSource,
    /// Its facts, `run.seq` of them, oldest first.
    pub journal: Vec<(Timestamp, Fact)>,
}

/// A row of `step`.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    pub run: RunId,
    pub view: StepView,
}

/// Filter of a list of runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFilter {
    /// Only these states; empty: all.
    pub status: Vec<RunStatus>,
    pub workflow: Option<String>,
    /// Only these repositories; none: all.
    pub repos: Option<Vec<String>>,
    /// Only of this branch.
    pub branch: Option<String>,
    /// Only runs for an event of this type: `push`.
    pub event: Option<String>,
    /// Only runs that were created then or later.
    pub since: Option<Timestamp>,
    /// Without the runs that other runs started.
    pub without_children: bool,
    /// At most so many, at most 1,000.
    pub limit: u32,
    /// Only runs older than this one: the last of the page before.
    pub before: Option<RunId>,
}

/// Runs of one page at most.
const MAX_PAGE: u32 = 1_000;

pub(crate) const RUN_COLUMNS: &str = "id, workflow, plan_hash, repo, sha, branch, status, reason, \
                           started_at, ended_at, seq, created_at, fork, in_hand, deaths";

/// The first column behind [`RUN_COLUMNS`].
pub(crate) const SOURCE_COLUMN: usize = 15;

impl Default for RunFilter {
    fn default() -> Self {
        Self {
            status: Vec::new(),
            workflow: None,
            repos: None,
            branch: None,
            event: None,
            since: None,
            without_children: false,
            limit: 50,
            before: None,
        }
    }
}

/// A run from a file is nowhere to be seen until all of it is there.
const IS_WHOLE: &str = "NOT EXISTS (SELECT 1 FROM imported_run i \
                        WHERE i.run_id = run.id AND i.manifest = '')";

impl Runs<'_> {
    /// A run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, id: &RunId) -> Result<Option<RunRow>, Error> {
        let text = format!("SELECT {RUN_COLUMNS} FROM run WHERE id = $1 AND {IS_WHOLE}");
        let row = self.store.read_one(Statement::new(text, vec![id.as_str().into()])).await?;
        row.map(|row| run_row(&row)).transpose()
    }

    /// A run with its whole journal.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn load(self, id: &RunId) -> Result<Option<StoredRun>, Error> {
        let key = || vec![Arg::from(id.as_str())];
        let text = format!(
            "SELECT {RUN_COLUMNS}, source, event, inputs, origin \
             FROM run JOIN run_source ON run_id = id WHERE id = $1"
        );
        let journal = "SELECT at, fact FROM journal WHERE run_id = $1 ORDER BY seq";
        let reads = vec![Statement::new(text, key()), Statement::new(journal, key())];
        let mut answers = self.store.read_each(reads).await?.into_iter();
        let (run, journal) =
            (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        let Some(row) = run.first() else { return Ok(None) };
        let run = run_row(row)?;
        let source = RunSource {
            source: row.text(SOURCE_COLUMN)?,
            event: row.json(SOURCE_COLUMN + 1)?,
            inputs: row.json(SOURCE_COLUMN + 2)?,
            origin: row.json(SOURCE_COLUMN + 3)?,
        };
        // The journal was read after the row and only grows: what is newer than the row is left out.
        let length = usize::try_from(run.seq).unwrap_or(usize::MAX);
        let journal = journal
            .iter()
            .take(length)
            .map(|row| Ok((row.time(0)?, row.json(1)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        if journal.len() != length {
            let (found, run) = (journal.len(), &run.id);
            return Err(Error::Corrupt(format!("run {run} has {found} of {length} facts")));
        }
        Ok(Some(StoredRun { run, source, journal }))
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, filter: &RunFilter) -> Result<Vec<RunRow>, Error> {
        let mut text = format!("SELECT {RUN_COLUMNS} FROM run WHERE {IS_WHOLE}");
        let mut args: Vec<Arg> = Vec::new();
        if !filter.status.is_empty() {
            let list = placeholders(1, filter.status.len());
            text.push_str(&format!(" AND status IN ({list})"));
            args.extend(filter.status.iter().map(|status| Arg::from(status.as_str())));
        }
        if let Some(workflow) = &filter.workflow {
            args.push(workflow.as_str().into());
            text.push_str(&format!(" AND workflow = ${}", args.len()));
        }
        text.push_str(&among("repo", filter.repos.as_deref(), &mut args));
        if let Some(branch) = &filter.branch {
            args.push(branch.as_str().into());
            text.push_str(&format!(" AND branch = ${}", args.len()));
        }
        if filter.without_children {
            text.push_str(" AND is_child = 0");
        }
        if let Some(since) = filter.since {
            args.push(since.into());
            text.push_str(&format!(" AND created_at >= ${}", args.len()));
        }
        if let Some(event) = &filter.event {
            args.push(event.as_str().into());
            text.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM run_source s WHERE s.run_id = run.id \
                 AND s.event_type = ${})",
                args.len()
            ));
        }
        if let Some(before) = &filter.before {
            args.push(before.as_str().into());
            text.push_str(&format!(" AND id < ${}", args.len()));
        }
        args.push(filter.limit.min(MAX_PAGE).into());
        text.push_str(&format!(" ORDER BY id DESC LIMIT ${}", args.len()));
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(run_row).collect()
    }

    /// The status of some runs and its reason; those that are not kept any more are left out.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn statuses(
        self,
        runs: &[RunId],
    ) -> Result<HashMap<RunId, (RunStatus, Option<String>)>, Error> {
        let mut found = HashMap::new();
        for ids in runs.chunks(MAX_PAGE as usize) {
            let args: Vec<Arg> = ids.iter().map(|id| Arg::from(id.as_str())).collect();
            let list = placeholders(1, args.len());
            let text = format!("SELECT id, status, reason FROM run WHERE id IN ({list})");
            for row in &self.store.read(Statement::new(text, args)).await? {
                found.insert(RunId::new(row.text(0)?), (row.parse(1)?, row.opt_text(2)?));
            }
        }
        Ok(found)
    }

    /// Runs of these repositories (none: all) whose id starts with a text, newest first, at most
    /// two: enough to know whether the text names one. `last` is their newest run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn find(self, text: &str, repos: Option<Vec<String>>) -> Result<Vec<RunRow>, Error> {
        if text == "last" {
            let last =
                RunFilter { repos, without_children: true, limit: 1, ..RunFilter::default() };
            return self.list(&last).await;
        }
        let prefix = text.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Vec::new());
        }
        // `~` sorts after every character of an id.
        let mut args = vec![prefix.as_str().into(), format!("{prefix}~").into()];
        let among = among("repo", repos.as_deref(), &mut args);
        let sql = format!(
            "SELECT {RUN_COLUMNS} FROM run WHERE id >= $1 AND id < $2 AND {IS_WHOLE}{among} \
             ORDER BY id DESC LIMIT 2"
        );
        let rows = self.store.read(Statement::new(sql, args)).await?;
        rows.iter().map(run_row).collect()
    }

    /// Runs that have not ended, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unfinished(self) -> Result<Vec<RunRow>, Error> {
        let open: Vec<_> =
            RunStatus::ALL.iter().filter(|status| !status.is_terminal()).copied().collect();
        let text = format!(
            "SELECT {RUN_COLUMNS} FROM run WHERE status IN ({}) ORDER BY id",
            placeholders(1, open.len())
        );
        let args = open.iter().map(|status| status.as_str().into()).collect();
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(run_row).collect()
    }

    /// Runs that have not ended and are not set aside, oldest first: the oldest `of_each` of each
    /// repository and each pull request from a fork, and all with a cancel request. Only where no
    /// other machine drives runs.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn oldest_unfinished(self, of_each: usize) -> Result<Vec<RunRow>, Error> {
        let open = format!("{UNDRIVEN} AND {NOT_SET_ASIDE}");
        let text = format!(
            "SELECT {RUN_COLUMNS} FROM run WHERE {open} AND (id IN (SELECT run_id FROM cancel_request) \
             OR id IN (SELECT id FROM (SELECT id, row_number() OVER ( \
               PARTITION BY COALESCE(repo, ''), COALESCE(fork, -1) ORDER BY id) AS place \
               FROM run WHERE {open}) AS waiting WHERE place <= $1)) ORDER BY id"
        );
        let args = vec![Arg::count(of_each as u64)];
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(run_row).collect()
    }

    /// The steps of a run, by id.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn steps(self, run: &RunId) -> Result<Vec<StepRow>, Error> {
        let text = "SELECT step_id, status, reason, visit, attempts, ready_at, started_at, ended_at, \
                    output FROM step WHERE run_id = $1 ORDER BY step_id";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter()
            .map(|row| {
                let view = StepView {
                    step: row.text(0)?.as_str().into(),
                    status: row.parse(1)?,
                    reason: row.opt_json(2)?,
                    visit: row.small(3)?,
                    attempts: row.small(4)?,
                    ready_at: row.opt_time(5)?,
                    started_at: row.opt_time(6)?,
                    ended_at: row.opt_time(7)?,
                    output: row.json(8)?,
                };
                Ok(StepRow { run: run.clone(), view })
            })
            .collect()
    }
}

/// The pull request in this column.
pub(crate) fn fork(row: &Row, column: usize) -> Result<Option<u64>, Error> {
    Ok(row.opt_int(column)?.and_then(|number| u64::try_from(number).ok()))
}

pub(crate) fn run_row(row: &Row) -> Result<RunRow, Error> {
    Ok(RunRow {
        id: RunId::new(row.text(0)?),
        workflow: row.text(1)?,
        plan: row.parse(2)?,
        repo: row.opt_text(3)?,
        sha: row.opt_text(4)?,
        branch: row.opt_text(5)?,
        fork: fork(row, 12)?,
        view: RunView {
            status: row.parse(6)?,
            reason: row.opt_text(7)?,
            started_at: row.opt_time(8)?,
            ended_at: row.opt_time(9)?,
        },
        seq: row.count(10)?,
        created_at: row.time(11)?,
        in_hand: row.count(13)? != 0,
        deaths: row.small(14)?,
    })
}
