//! Repositories that a server watches, the plans of their default branches, and the ticks of
//! schedules that were taken.

pub mod identity;
pub mod pause;
mod report;

use jiff::Timestamp;
use plue_plan::{PlanHash, Trigger};

use crate::{
    changes::Shards,
    error::Error,
    handles::Repos,
    op::{Op, Plain},
    sql::{Arg, Dialect, Row, Statement, Tx, among},
};

pub use report::{ForgeReporterRow, ReportKey, ReportRow, SettledReport};

/// A row of `repo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRow {
    /// `owner/name`.
    pub name: String,
    /// `local`, `github`, `gitlab`, `gitea` or `forgejo`.
    pub forge: String,
    /// Address to fetch it from.
    pub url: String,
    /// The secret part of its webhook's route.
    pub hook: String,
    pub default_branch: String,
    pub added_by: String,
    pub added_at: Timestamp,
}

/// A row of `registered`.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredRow {
    pub repo: String,
    pub file: String,
    /// Name of the plan.
    pub workflow: String,
    /// The commit it was read from.
    pub sha: String,
    /// The plan without an event.
    pub plan: PlanHash,
    pub triggers: Vec<Trigger>,
}

/// A tick of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    pub repo: String,
    pub file: String,
    /// Name of the plan.
    pub workflow: String,
    pub cron: String,
    pub tz: String,
    pub due_at: Timestamp,
}

struct Register {
    repo: String,
    rows: Vec<RegisteredRow>,
    at: Timestamp,
}

struct Take {
    tick: Tick,
    at: Timestamp,
}

const COLUMNS: &str = "name, forge, url, hook, default_branch, added_by, added_at";

impl Repos<'_> {
    /// Adds a repository, or changes what is known of it; its hook stays.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add(self, repo: &RepoRow) -> Result<(), Error> {
        let text = format!(
            "INSERT INTO repo ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (name) DO UPDATE SET forge = excluded.forge, url = excluded.url, \
             default_branch = excluded.default_branch"
        );
        let args = vec![
            repo.name.as_str().into(),
            repo.forge.as_str().into(),
            repo.url.as_str().into(),
            repo.hook.as_str().into(),
            repo.default_branch.as_str().into(),
            repo.added_by.as_str().into(),
            repo.added_at.into(),
        ];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Deletes a repository with its own tokens and outgoing webhooks, its registered workflows and
    /// the secrets of these scopes; its runs stay. Returns whether it existed.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(self, name: &str, secret_scopes: &[String]) -> Result<bool, Error> {
        let known = self.get(name).await?.is_some();
        let statement = |table: &str, column: &str| {
            let text = format!("DELETE FROM {table} WHERE {column} = $1");
            Statement::new(text, vec![name.into()])
        };
        let secrets = secret_scopes.iter().map(|scope| {
            let text = "DELETE FROM secret WHERE scope = $1";
            Statement::new(text, vec![scope.as_str().into()])
        });
        let mut all: Vec<Statement> = secrets.collect();
        let text = "DELETE FROM run_mask WHERE run_id IN (SELECT id FROM run WHERE repo = $1)";
        all.push(Statement::new(text, vec![name.into()]));
        all.extend([
            statement("webhook", "repo"),
            statement("token", "repo"),
            statement("repo_identity", "repo"),
            statement("held", "repo"),
            statement("allowed", "repo"),
            statement("report", "repo"),
            statement("outlet", "repo"),
            statement("pause", "repo"),
            statement("tick", "repo"),
            statement("registered", "repo"),
            statement("repo", "name"),
        ]);
        self.store.write(Plain(all)).await?;
        Ok(known)
    }

    /// All repositories, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<RepoRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM repo ORDER BY name");
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        rows.iter().map(repo_row).collect()
    }

    /// A repository.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, name: &str) -> Result<Option<RepoRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM repo WHERE name = $1");
        let row = self.store.read_one(Statement::new(text, vec![name.into()])).await?;
        row.map(|row| repo_row(&row)).transpose()
    }

    /// The repository of a webhook's route.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn by_hook(self, hook: &str) -> Result<Option<RepoRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM repo WHERE hook = $1");
        let row = self.store.read_one(Statement::new(text, vec![hook.into()])).await?;
        row.map(|row| repo_row(&row)).transpose()
    }

    /// Puts the plans of a commit in the place of those that were registered, all or none. Writes
    /// nothing if they are registered.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn register_plans(
        self,
        repo: &str,
        rows: Vec<RegisteredRow>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let known = self.registered(Some(&[repo.to_owned()])).await?;
        if known.len() == rows.len() && rows.iter().all(|row| known.contains(row)) {
            return Ok(());
        }
        self.store.write(Register { repo: repo.to_owned(), rows, at }).await
    }

    /// Registered workflows of some repositories, or of all.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn registered(self, repos: Option<&[String]>) -> Result<Vec<RegisteredRow>, Error> {
        let mut args = Vec::new();
        let filter = among("repo", repos, &mut args);
        let text = format!(
            "SELECT repo, file, workflow, sha, plan_hash, triggers FROM registered WHERE 1 = 1{filter} \
             ORDER BY repo, file, workflow"
        );
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter()
            .map(|row| {
                Ok(RegisteredRow {
                    repo: row.text(0)?,
                    file: row.text(1)?,
                    workflow: row.text(2)?,
                    sha: row.text(3)?,
                    plan: row.parse(4)?,
                    triggers: row.json(5)?,
                })
            })
            .collect()
    }

    /// Takes a tick of a schedule; `false`: another engine has it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_tick(self, tick: Tick, at: Timestamp) -> Result<bool, Error> {
        self.store.write(Take { tick, at }).await
    }

    /// Due time of the last tick of a schedule that was taken.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn last_tick(self, like: &Tick) -> Result<Option<Timestamp>, Error> {
        let text = "SELECT due_at FROM tick WHERE repo = $1 AND file = $2 AND workflow = $3 \
                    AND cron = $4 AND tz = $5 ORDER BY due_at DESC LIMIT 1";
        let row = self.store.read_one(Statement::new(text, schedule_key(like))).await?;
        row.map(|row| row.time(0)).transpose()
    }
}

/// Whether the trigger is for the ends of runs: only then are they put into the inbox.
const fn follows(trigger: &Trigger) -> bool {
    matches!(trigger, Trigger::Workflow { .. })
}

fn schedule_key(tick: &Tick) -> Vec<Arg> {
    vec![
        tick.repo.as_str().into(),
        tick.file.as_str().into(),
        tick.workflow.as_str().into(),
        tick.cron.as_str().into(),
        tick.tz.as_str().into(),
    ]
}

/// Locks a repository until the end of the transaction: other transactions that lock it wait, and
/// then see the result.
pub(crate) async fn one_at_a_time(tx: &mut Tx<'_>, repo: &str) -> Result<(), Error> {
    let lock = match tx.dialect() {
        // It has one writer anyway.
        Dialect::Sqlite => return Ok(()),
        Dialect::Postgres => "SELECT name FROM repo WHERE name = $1 FOR NO KEY UPDATE",
    };
    tx.fetch_optional(Statement::new(lock, vec![repo.into()])).await.map(drop)
}

impl Op for Register {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        // Two at once would delete what was there before, and both leave what they put in.
        one_at_a_time(tx, &self.repo).await?;
        let delete = "DELETE FROM registered WHERE repo = $1";
        tx.write(Statement::new(delete, vec![self.repo.as_str().into()]));
        for row in &self.rows {
            tx.write(Statement::new(
                "INSERT INTO registered \
                 (repo, file, workflow, sha, plan_hash, triggers, registered_at, follows) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                vec![
                    self.repo.as_str().into(),
                    row.file.as_str().into(),
                    row.workflow.as_str().into(),
                    row.sha.as_str().into(),
                    row.plan.to_string().into(),
                    Arg::json(&row.triggers)?,
                    self.at.into(),
                    i64::from(row.triggers.iter().any(follows)).into(),
                ],
            ));
        }
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Take {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let key = || {
            let mut key = schedule_key(&self.tick);
            key.push(self.tick.due_at.into());
            key
        };
        let text = "SELECT due_at FROM tick WHERE repo = $1 AND file = $2 AND workflow = $3 \
                    AND cron = $4 AND tz = $5 AND due_at = $6";
        if tx.fetch_optional(Statement::new(text, key())).await?.is_some() {
            return Ok(false);
        }
        let mut args = key();
        args.push(self.at.into());
        // Of two engines at once the second inserts nothing, and reads again.
        tx.write(
            Statement::new(
                "INSERT INTO tick (repo, file, workflow, cron, tz, due_at, taken_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                args,
            )
            .expect(1),
        );
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

fn repo_row(row: &Row) -> Result<RepoRow, Error> {
    Ok(RepoRow {
        name: row.text(0)?,
        forge: row.text(1)?,
        url: row.text(2)?,
        hook: row.text(3)?,
        default_branch: row.text(4)?,
        added_by: row.text(5)?,
        added_at: row.time(6)?,
    })
}
